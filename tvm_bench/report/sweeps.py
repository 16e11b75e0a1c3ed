"""A sweep over batch sizes or numbers of threads: what a picture costs, and how many go through in a second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..results import Results, Row
from . import units
from .statistics import median
from .table import Table

HEADERS = {"batch": "pictures a call", "threads": "threads"}
MARKS = {"batch": "b", "threads": "t"}  # of the variants' names: fp32-eager-b4-t2


@dataclass(frozen=True)
class Sweep:
    """`over` batch or threads; `rows` has, for each variant (without its mark) and value, the row."""

    over: str
    values: tuple[int, ...]
    rows: dict[str, dict[int, Row]]


def sweeps(results: Results) -> list[Sweep]:
    """The sweeps of a run: none, one or two."""
    return [found for over in HEADERS if len((found := _sweep(results, over)).values) > 1]


def per_picture_ms(row: Row) -> float:
    """Median latency of a call by the pictures in it."""
    return median(row.rounds).value / row.batch


def tables(results: Results) -> list[Table]:
    """Two tables a sweep, latency and throughput."""
    return [table for sweep in sweeps(results) for table in _tables(sweep)]


def _sweep(results: Results, over: str) -> Sweep:
    short = units.short_names(row.name for row in results.variants)
    rows: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in results.variants:
        if row.rounds and row.backend != "null":
            value = getattr(row, over)
            mark = f"{MARKS[over]}{value}"
            rows["-".join(part for part in short[row.name].split("-") if part != mark)][value] = row
    return Sweep(over, tuple(sorted({value for found in rows.values() for value in found})), dict(rows))


def _tables(sweep: Sweep) -> Iterator[Table]:
    head = HEADERS[sweep.over]
    yield _table(sweep, f"Milliseconds a picture, by {head}", lambda row: units.ms(per_picture_ms(row)))
    yield _table(sweep, f"Pictures a second, by {head}", lambda row: f"{1e3 / per_picture_ms(row):.4g}")


def _table(sweep: Sweep, title: str, cell: Callable[[Row], str]) -> Table:
    lines = [
        [name, *(cell(rows[value]) if value in rows else units.NONE for value in sweep.values)]
        for name, rows in sweep.rows.items()
    ]
    return Table(title, ("variant", *map(str, sweep.values)), lines)
