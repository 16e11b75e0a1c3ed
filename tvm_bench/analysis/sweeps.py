"""Sweeps over batch sizes or thread counts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from .names import short_names
from .results import Results, Row
from .statistics import mean_latency

MARKS = {"batch": "b", "threads": "t"}  # in variant names: fp32-eager-b4-t2


@dataclass(frozen=True)
class Sweep:
    """A sweep `over` `batch` or `threads`: the swept `values`, and `rows` by variant (without its mark) and value."""

    over: str
    values: tuple[int, ...]
    rows: dict[str, dict[int, Row]]


def sweeps(results: Results) -> list[Sweep]:
    """The sweeps of a run: none, one or two."""
    return [sweep for over in MARKS if len((sweep := _sweep(results, over)).values) > 1]


def per_image_ms(row: Row) -> float:
    """The mean latency of a batch, divided by the batch size."""
    return mean_latency(row.rounds).value / row.batch


def _sweep(results: Results, over: str) -> Sweep:
    short = short_names(row.name for row in results.variants)
    rows: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in results.variants:
        if row.rounds and row.backend != "null":
            value = getattr(row, over)
            mark = f"{MARKS[over]}{value}"
            rows["-".join(part for part in short[row.name].split("-") if part != mark)][value] = row
    return Sweep(over, tuple(sorted({value for values in rows.values() for value in values})), dict(rows))
