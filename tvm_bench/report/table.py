"""A row's numbers as cells, once, for the terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..results import Results, Row
from . import units
from .statistics import median, percentiles, speed_up, wilson

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
    """Print the two tables (speed; memory and accuracy) and what failed. Readable from 120 columns."""
    from rich.text import Text

    title = units.model_name(row.name for row in results.variants)
    for subject, header, cells in (("speed", SPEED, speed_cells), ("memory and accuracy", QUALITY, quality_cells)):
        rows = [cells(row, results) for row in results.variants if row.ok]
        if rows:
            console.print(rich_table(f"{title}: {subject}", header, rows))
    for row in results.variants:
        if not row.ok:
            console.print(Text(f"{row.name} {failure(row)}", style="red"), soft_wrap=True)


def markdown(results: Results) -> str:
    """The same rows as two Markdown tables."""
    parts = []
    for header, cells in ((SPEED, speed_cells), (QUALITY, quality_cells)):
        lines = [header, ["---", *["---:"] * (len(header) - 1)]]
        for row in results.variants:
            empty = [""] * (len(header) - 2)
            lines.append(cells(row, results) if row.ok else [_short(row, results), failure(row), *empty])
        parts.append(
            "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
            )
        )
    return "\n\n".join(parts)


def rich_table(title: str, header: tuple[str, ...], rows: list[list[str]]) -> object:
    """A table for the terminal: the first column to the left, the others to the right."""
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
    if row is results.reference and row.rounds:
        return "1 (reference)"
    estimate = speed_up(row, results)
    return units.times(estimate) if estimate else units.NONE


def _middle(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
