"""The result tables, for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.accuracy import Pair, drop, pair, wilson
from ..analysis.comparable import reference
from ..analysis.names import model_name, short_names
from ..analysis.results import Results, Row
from ..analysis.statistics import mean_latency, percentiles, speed_up
from ..spec.backends import ON_GPU
from . import footprint, formatting, output_tables, peaks, source_layers, sweep_tables
from .table import Table, rich_table

if TYPE_CHECKING:
    from rich.console import Console

TVM_CLOCK, GPU_CLOCK = "time_evaluator", "CUDA events"
SPEED = (
    "variant",
    "latency ms [95 %]",
    "p95\nms",
    "speed-up vs\n{reference} [95 %]",
    "{clock}\nms",
    "load\nms",
    "first call\nms",
)
QUALITY = (
    "variant",
    "peak MB\n(after imports)",
    "size MB",
    "Top-1 [95 %]",
    "Top-5",
    "same answer as\n{reference}",
    "as its\nsource",
    "max error\nto source",
)
PAIRS = (
    "variant",
    "Top-1 drop from\n{reference} [95 %]",
    "only {reference}\nis right",
    "only the variant\nis right",
    "of\nimages",
    "McNemar's\nmid-p",
)


def tables(results: Results) -> list[Table]:
    """The tables of speed, of memory and accuracy, and, if hits are recorded, of accuracy on the same images.

    Without labels, the second one shows how the outputs differ.
    """
    names = short_names(row.name for row in results.variants)
    scored = output_tables.has_scores(results)
    quality = QUALITY if scored else (*QUALITY[:3], *output_tables.QUALITY)
    return [
        Table("Speed", _named(SPEED, results), _lines(results, names, speed_cells)),
        Table(
            f"Memory and {'accuracy' if scored else 'outputs'}",
            _named(quality, results),
            _lines(results, names, quality_cells),
        ),
        *output_tables.tables(results, _named(output_tables.OUTPUTS, results)),
        *_pairs(results, names),
    ]


def _lines(results: Results, names: dict[str, str], cells: Callable[[Row, Results], list[str]]) -> list[list[str]]:
    return [[names[row.name], *(cells(row, results) if row.ok else [failure(row)])] for row in results.variants]


def _pairs(results: Results, names: dict[str, str]) -> list[Table]:
    """The table of the rows that were scored on the same images as their reference; empty if there are no such rows."""
    lines = []
    for row in results.variants:
        base = reference(row, results)
        if base and base is not row and (both := pair(base, row)):
            lines.append([names[row.name], *pair_cells(row, base, both)])
    return [Table("Accuracy on the same images", _named(PAIRS, results), lines)] if lines else []


def _named(header: tuple[str, ...], results: Results) -> tuple[str, ...]:
    clock = " /\n".join(clocks(results)) or TVM_CLOCK
    return tuple(name.format(reference=results.reference_label, clock=clock) for name in header)


def clocks(results: Results) -> list[str]:
    """The names of the second clocks in use, which time the kernels without copies."""
    on_gpu = {row.backend in ON_GPU for row in results.variants if row.time_evaluator_ms}
    return [name for name, gpu in ((TVM_CLOCK, False), (GPU_CLOCK, True)) if gpu in on_gpu]


def every(results: Results) -> list[Table]:
    """The result tables, those of sweeps, and those of memory, size and threads, and of operations per second."""
    return [
        *tables(results),
        *sweep_tables.tables(results),
        *footprint.tables(results),
        *peaks.tables(results),
        *source_layers.tables(results),
    ]


def speed_cells(row: Row, results: Results) -> list[str]:
    """The cells of `SPEED` for a row that is `ok`, without its name."""
    kernels = row.time_evaluator_ms
    return [
        formatting.ms_interval(mean_latency(row.rounds)) if row.rounds else formatting.NONE,
        formatting.ms(percentiles(row.rounds)[95]) if row.rounds else formatting.NONE,
        _speed_up(row, results),
        formatting.ms(mean_latency(kernels).value) if kernels else formatting.NONE,
        formatting.ms(_middle(row.load_ms), digits=3),
        formatting.ms(_middle(row.first_call_ms), digits=3),
    ]


def quality_cells(row: Row, results: Results) -> list[str]:
    """The cells of `QUALITY` for a row that is `ok`, without its name."""
    peak = formatting.mb(_middle(row.peak_rss_mb))
    imports = f" ({formatting.mb(_middle(row.rss_after_import_mb))})" if row.rss_after_import_mb else ""
    memory = [peak + imports, formatting.mb(row.size_mb)]
    if not output_tables.has_scores(results):
        return [*memory, *output_tables.quality_cells(row)]
    return [
        *memory,
        top1(row),
        formatting.percent(row.top5),
        formatting.percent(row.argmax_agreement),
        formatting.percent(row.source_argmax_agreement),
        formatting.NONE if row.source_max_abs_error is None else f"{row.source_max_abs_error:.1e}",
    ]


def pair_cells(row: Row, base: Row, both: Pair) -> list[str]:
    """The cells of `PAIRS`, without the name."""
    lost = drop(row, base)
    assert lost, "a pair has two accuracies"
    counts = [f"{count:,}" for count in (both.only_first, both.only_second, both.images)]
    return [formatting.interval(lost, 2), *counts, f"{both.p:.2g}"]


def top1(row: Row) -> str:
    """Top-1 with its interval, which needs the number of images."""
    if row.top1 is None or not row.images:
        return formatting.percent(row.top1)
    return formatting.percent_interval(wilson(row.top1, row.images))


def failure(row: Row) -> str:
    """`failed: ` or `skipped: `, and the first line of the error."""
    lines = (row.error or "").strip().splitlines()
    return f"{row.status}: {lines[0] if lines else 'no reason was recorded'}"


def failures(results: Results) -> list[str]:
    """The failed and skipped variants with the reason, one line each."""
    return [f"{row.name} {failure(row)}" for row in results.variants if not row.ok]


def show(results: Results, console: Console) -> None:
    """Print the tables. Readable from 120 columns."""
    model = model_name(row.name for row in results.variants)
    for table in tables(results):
        if any(len(cells) > 2 for cells in table.lines):
            console.print(rich_table(model, table))


def _speed_up(row: Row, results: Results) -> str:
    if row is reference(row, results) and row.rounds:
        return "1 (reference)"
    estimate = speed_up(row, results)
    return formatting.times(estimate) if estimate else formatting.NONE


def _middle(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
