"""The pictures: colour says the precision, a solid mark a compiled variant. Order and names are the same in all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replace_with
from ..results import Results, Row
from . import canvas, units
from .statistics import by_latency, median, percentiles, round_medians, speed_up, wilson
from .verdict import finding

PALE = {"facecolor": "#f3f3f3", "edgecolor": "#b5b5b5", "lw": 1}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw every picture that has data as PNG into `folder`; one of an earlier run that has none now is removed."""
    drawn = []
    for name, draw in PICTURES.items():
        path = folder / f"{name}.png"
        figure = draw(results)
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        with replace_with(path) as beside:
            FigureCanvasAgg(figure).print_png(beside)
        drawn.append(path)
    return drawn


def latency(results: Results) -> Figure | None:
    """Median latency in ms with its interval, the samples below it; None where nothing was timed."""
    rows = by_latency(results)
    if not rows:
        return None
    figure, (axes,) = canvas.figure(rows, results, finding(results))
    for y, row in enumerate(rows):
        estimate, samples = median(row.rounds), np.concatenate(row.rounds)
        canvas.bar(axes, y, estimate.value, row)
        axes.plot([estimate.low, estimate.high], [y, y], color=canvas.INK, lw=2.5, solid_capstyle="butt")
        lane = y + canvas.BAR / 2 + np.random.default_rng(0).uniform(0.05, 0.2, len(samples))
        axes.plot(samples, lane, ".", ms=2.5, mew=0, color=canvas.INK, alpha=0.15)
        gain = speed_up(row, results)
        text = f"{units.ms(estimate.value)} ms" + (f"   {gain.value:.2f}× as fast" if gain else "")
        canvas.label(axes, max(estimate.value, np.nan_to_num(estimate.high)), y, text)
    end = max(max(percentiles(row.rounds)[99], round_medians(row.rounds).max()) for row in rows)
    axes.set_xlim(0, 1.28 * end)
    beyond = sum(int((np.concatenate(row.rounds) > 1.28 * end).sum()) for row in rows)
    compared = "; × as fast as FP32 eager" if results.reference in rows else ""
    note = f" ({beyond} beyond the axis)" if beyond else ""
    axes.set_xlabel(f"wall clock of a call in ms{compared}\nbar: median, line: 95 % interval, dots: samples{note}")
    return figure


def memory(results: Results) -> Figure | None:
    """Peak resident memory in MB, split at what was there after the imports."""
    rows = [row for row in _ordered(results) if row.peak_rss_mb]
    if not rows:
        return None
    peaks = [float(np.median(row.peak_rss_mb)) for row in rows]
    figure, (axes,) = canvas.figure(rows, results, f"peak memory of the process, {_range(peaks)} MB")
    for y, (row, peak) in enumerate(zip(rows, peaks, strict=True)):
        canvas.bar(axes, y, peak, row)
        text = f"{units.mb(peak)} MB"
        if row.rss_after_import_mb:
            imports = float(np.median(row.rss_after_import_mb))
            axes.barh(y, imports, height=canvas.BAR, **PALE)
            text += f"   +{units.mb(peak - imports)} over imports"
        canvas.label(axes, peak, y, text)
    axes.set_xlim(0, 1.42 * max(peaks))
    axes.set_xlabel("MB resident, highest of the process (VmHWM). Pale: after the imports; colour: model and calls")
    return figure


def size(results: Results) -> Figure | None:
    """Size of the file in MB that is deployed."""
    rows = [row for row in _ordered(results) if row.size_mb is not None]
    if not rows:
        return None
    sizes = [row.size_mb for row in rows]
    figure, (axes,) = canvas.figure(rows, results, f"files of {_range(sizes)} MB")
    for y, row in enumerate(rows):
        canvas.bar(axes, y, row.size_mb, row)
        canvas.label(axes, row.size_mb, y, f"{units.mb(row.size_mb)} MB")
    axes.set_xlim(0, 1.15 * max(sizes))
    axes.set_xlabel("MB on disk")
    return figure


def accuracy(results: Results) -> Figure | None:
    """Top-1 with Wilson's interval on a zoomed axis, and beside it the difference from FP32 eager in points."""
    rows = [row for row in _ordered(results) if row.top1 is not None and row.images]
    if not rows:
        return None
    base = results.reference if results.reference in rows else None
    images = " / ".join(f"{count:,}" for count in sorted({row.images for row in rows}))
    figure, (axes, *rest) = canvas.figure(
        rows,
        results,
        f"Top-1 of {_range([100 * row.top1 for row in rows])} % on {images} images",
        panels=2 if base else 1,
    )
    for y, row in enumerate(rows):
        share = wilson(row.top1, row.images)
        colour, face = canvas.colours(row)
        axes.plot([100 * share.low, 100 * share.high], [y, y], color=colour, lw=2.5, solid_capstyle="butt")
        axes.plot(100 * share.value, y, "o", ms=9, mfc=face, mec=colour, mew=1.5)
        axes.annotate(
            units.percent(share.value),
            (100 * share.value, y),
            (0, 8),
            textcoords="offset points",
            ha="center",
            color=canvas.INK,
        )
    axes.margins(x=0.08)
    axes.set_xlabel("Top-1 in %, with its 95 % interval\n(zoomed: the axis does not start at 0)")
    if base and rest:
        _differences(rest[0], rows, base)
    return figure


PICTURES: dict[str, Callable[[Results], Figure | None]] = {
    "latency": latency,
    "memory": memory,
    "size": size,
    "accuracy": accuracy,
}


def _differences(axes: Axes, rows: list[Row], base: Row) -> None:
    changes = [100 * (row.top1 - base.top1) for row in rows]
    reach = max(max(map(abs, changes)), 0.1)
    for y, (row, change) in enumerate(zip(rows, changes, strict=True)):
        canvas.bar(axes, y, change, row)
        text = "reference" if row is base else units.points(change / 100)
        canvas.label(axes, change, y, text, left=change < 0)
    axes.axvline(0, color=canvas.INK, lw=1)
    axes.set_xlim(1.5 * min(min(changes), -0.4 * reach), 1.5 * max(max(changes), 0.4 * reach))
    axes.set_xlabel("Top-1 minus that of FP32 eager,\nin percentage points, on the same images")


def _ordered(results: Results) -> list[Row]:
    timed = by_latency(results)
    return timed + [row for row in results.variants if row.ok and not row.rounds]


def _range(values: list[float]) -> str:
    low, high = units.mb(min(values)), units.mb(max(values))
    return low if low == high else f"{low} to {high}"
