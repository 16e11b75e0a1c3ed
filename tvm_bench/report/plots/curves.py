"""Plots of one number against another: the Pareto front, and sweeps over batch sizes and thread counts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from ...analysis.accuracy import wilson
from ...analysis.names import short_names
from ...analysis.pareto import front
from ...analysis.results import Results, Row
from ...analysis.statistics import mean_latency
from ...analysis.sweeps import sweeps
from ...analysis.verdict import competitors
from .. import sweep_tables
from . import style
from .style import Frame

Value = tuple[float, float, float]  # a value, and the lengths of its interval below and above
MARKS = "osD^vP*Xp<>hd"
PANEL = 3.9  # height in inches
OUT: dict[str, Any] = {"marker": ".", "ms": 8, "color": style.SOFT, "mec": "none", "alpha": 0.7}


def pareto(results: Results, frame: Frame) -> Figure | None:
    """Top-1 and peak memory over latency, with the Pareto front; None for fewer than two competitors."""
    rows = competitors(results)
    known = [name for name, (value_of, _) in AXES.items() if any(value_of(row) for row in rows)]
    if len(rows) < 2 or not known:
        return None
    best = front(results)
    title = f"{len(best)} of {len(rows)} on the Pareto front"
    figure, panes = style.empty(results, title, frame, PANEL, len(known), False)
    names = short_names(row.name for row in results.variants)
    for axes, name in zip(panes, known, strict=True):
        value_of, text = AXES[name]
        for row in rows:
            if (value := value_of(row)) and row not in best:
                _point(axes, row, value, zorder=2, **OUT)
        for mark, row in zip(itertools.cycle(MARKS), best):
            if value := value_of(row):
                edge, face = style.colours(row)
                look: dict[str, Any] = {"color": edge, "mfc": face, "mec": edge, "label": names[row.name]}
                _point(axes, row, value, marker=mark, ms=9, zorder=3, **look)
        _scales(axes, "latency in ms", text)
    handles, labels = panes[0].get_legend_handles_labels()
    if len(best) < len(rows):
        handles += panes[0].plot([], [], ls="none", **OUT)
        labels.append("not on the front")
    figure.legend(handles, labels, loc="outside lower left", ncols=1 if frame.narrow else 3, **style.SMALL)
    return figure


def batch(results: Results, frame: Frame) -> Figure | None:
    """Milliseconds per image and images per second by batch size; None for one batch size."""
    return _sweep(results, "batch", frame)


def threads(results: Results, frame: Frame) -> Figure | None:
    """Milliseconds per image and images per second by thread count; None for one thread count."""
    return _sweep(results, "threads", frame)


def _sweep(results: Results, over: str, frame: Frame) -> Figure | None:
    sweep = next((sweep for sweep in sweeps(results) if sweep.over == over), None)
    if sweep is None:
        return None
    noun = sweep_tables.HEADERS[over]
    figure, (left, right) = style.empty(results, f"latency and throughput by {noun}", frame, PANEL, 2, False)
    for mark, (name, rows) in zip(itertools.cycle(MARKS), sweep.rows.items()):
        x = sorted(rows)
        means = [mean_latency(rows[value].rounds) for value in x]
        edge, face = style.colours(rows[x[0]])
        look: dict[str, Any] = {"color": edge, "marker": mark, "ms": 6, "mfc": face, "lw": 1.2, "label": name}
        size = [rows[value].batch for value in x]
        values, low, high = np.array([[middle.value, middle.low, middle.high] for middle in means]).T / size
        low, high = np.where(np.isnan(low), values, low), np.where(np.isnan(high), values, high)
        left.errorbar(x, values, [values - low, high - values], **look)
        right.errorbar(x, 1e3 / values, [1e3 / values - 1e3 / high, 1e3 / low - 1e3 / values], **look)
    _scales(left, noun, "ms per image, 95 % interval")
    _scales(right, noun, "images per second, 95 % interval")
    for axes in (left, right):
        axes.set_xticks(sweep.values)
        axes.set_yscale("log")
        _plain(axes.yaxis)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=1 if frame.narrow else 3, **style.SMALL)
    return figure


def _top1(row: Row) -> Value | None:
    if row.top1 is None or not row.images:
        return None
    share = wilson(row.top1, row.images)
    return 100 * share.value, 100 * (share.value - share.low), 100 * (share.high - share.value)


def _peak(row: Row) -> Value | None:
    return (float(np.median(row.peak_rss_mb)), 0.0, 0.0) if any(row.peak_rss_mb) else None


# The vertical axes of the Pareto plot: the value of a row, and the title.
AXES = {"top1": (_top1, "Top-1 in %, 95 % interval"), "peak": (_peak, "peak memory in MB")}


def _point(axes: Axes, row: Row, value: Value, **look: Any) -> None:
    latency, (middle, below, above) = mean_latency(row.rounds), value
    ends = np.nan_to_num([[latency.value - latency.low], [latency.high - latency.value]])
    axes.errorbar(latency.value, middle, [[below], [above]], ends, ls="none", elinewidth=1.2, **look)


def _scales(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    _plain(axes.xaxis)
    axes.set_xlabel(x)
    axes.set_title(y, loc="left", size=style.FONT - 0.5, color=style.SOFT)
    axes.grid(axis="y", color=style.GRID, lw=0.8)


def _plain(axis: Axis) -> None:
    """Set the ticks of a logarithmic axis to 1, 2 and 5 of each decade, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_locator(NullLocator())
