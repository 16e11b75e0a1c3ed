"""A row's numbers as cells, once, for the terminal, Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..results import Results, Row
from . import units
from .accuracy import Pair, drop, pair, wilson
from .groups import reference
from .statistics import median, percentiles, speed_up

if TYPE_CHECKING:
    from rich.console import Console

SPEED = (
    "variant",
    "median ms [95 %]",
    "p95\nms",
    "speed-up vs\nfp32-eager [95 %]",
    "time_evaluator\nms",
    "load\nms",
    "first call\nms",
)
QUALITY = (
    "variant",
    "peak MB\n(after imports)",
    "size MB",
    "Top-1 [95 %]",
    "Top-5",
    "same answer as\nFP32 eager",
    "as its\nsource",
    "max error\nto source",
)
PAIRS = (
    "variant",
    "Top-1 drop from\nFP32 eager [95 %]",
    "only FP32 eager\nis right",
    "only the variant\nis right",
    "of\nimages",
    "McNemar's\nmid-p",
)


@dataclass(frozen=True)
class Table:
    """Lines of cells below a header; a variant that failed has two, its name and the reason."""

    title: str
    header: tuple[str, ...]
    lines: list[list[str]]


def tables(results: Results) -> list[Table]:
    """Speed; memory and accuracy; and where it is recorded which images were right, those in pairs."""
    found = []
    for title, header, cells in (("speed", SPEED, speed_cells), ("memory and accuracy", QUALITY, quality_cells)):
        lines = [cells(row, results) if row.ok else [_short(row, results), failure(row)] for row in results.variants]
        found.append(Table(title, header, lines))
    pairs = [
        (row, base, pair(base, row))
        for row in results.variants
        if (base := reference(row, results)) and base is not row
    ]
    lines = [pair_cells(row, base, both, results) for row, base, both in pairs if both]
    return [*found, Table("accuracy on the same images", PAIRS, lines)] if lines else found


def speed_cells(row: Row, results: Results) -> list[str]:
    """One cell for each of `SPEED`, of a row that is `ok`."""
    kernels = row.time_evaluator_ms
    return [
        _short(row, results),
        units.ms_interval(median(row.rounds)) if row.rounds else units.NONE,
        units.ms(percentiles(row.rounds)[95]) if row.rounds else units.NONE,
        _speed_up(row, results),
        units.ms(median(kernels).value) if kernels else units.NONE,
        units.ms(_middle(row.load_ms), digits=3),
        units.ms(_middle(row.first_call_ms), digits=3),
    ]


def quality_cells(row: Row, results: Results) -> list[str]:
    """One cell for each of `QUALITY`, of a row that is `ok`."""
    peak = units.mb(_middle(row.peak_rss_mb))
    imports = f" ({units.mb(_middle(row.rss_after_import_mb))})" if row.rss_after_import_mb else ""
    return [
        _short(row, results),
        peak + imports,
        units.mb(row.size_mb),
        top1(row),
        units.percent(row.top5),
        units.percent(row.argmax_agreement),
        units.percent(row.source_argmax_agreement),
        units.NONE if row.source_max_abs_error is None else f"{row.source_max_abs_error:.1e}",
    ]


def pair_cells(row: Row, base: Row, both: Pair, results: Results) -> list[str]:
    """One cell for each of `PAIRS`."""
    lost = drop(row, base)
    counts = [f"{count:,}" for count in (both.only_first, both.only_second, both.images)]
    return [_short(row, results), units.interval(lost, 2), *counts, f"{both.p:.2g}"]


def top1(row: Row) -> str:
    """Top-1 with its interval, which needs the number of images."""
    if row.top1 is None or not row.images:
        return units.percent(row.top1)
    return units.percent_interval(wilson(row.top1, row.images))


def failure(row: Row) -> str:
    """`failed: ` and the first line of the error."""
    lines = (row.error or "").strip().splitlines()
    return f"failed: {lines[0] if lines else 'no reason was recorded'}"


def show(results: Results, console: Console) -> None:
    """Print the tables, and what failed. Readable from 120 columns."""
    from rich.text import Text

    model = units.model_name(row.name for row in results.variants)
    for table in tables(results):
        if lines := [cells for cells in table.lines if len(cells) > 2]:
            console.print(_rich(f"{model}: {table.title}", table.header, lines))
    for row in results.variants:
        if not row.ok:
            console.print(Text(f"{row.name} {failure(row)}", style="red"), soft_wrap=True)


def markdown(results: Results) -> str:
    """The same rows as Markdown tables."""
    parts = []
    for table in tables(results):
        width = len(table.header)
        lines = [table.header, ["---", *["---:"] * (width - 1)]]
        lines += [[*cells, *[""] * (width - len(cells))] for cells in table.lines]
        parts.append(
            "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
            )
        )
    return "\n\n".join(parts)


def _rich(title: str, header: tuple[str, ...], rows: list[list[str]]) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(
            Text(name),
            justify="right" if index else "left",
            no_wrap=not index,
            overflow="fold",
            vertical="bottom",
        )
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table


def _short(row: Row, results: Results) -> str:
    return units.short_names(other.name for other in results.variants)[row.name]


def _speed_up(row: Row, results: Results) -> str:
    if row is reference(row, results) and row.rounds:
        return "1 (reference)"
    estimate = speed_up(row, results)
    return units.times(estimate) if estimate else units.NONE


def _middle(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
