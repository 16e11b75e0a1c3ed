"""The pictures that set one figure against another: the Pareto front, and sweeps over batch sizes and threads."""

from __future__ import annotations

import itertools

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
from ...analysis.verdict import competitors
from .. import sweep_tables
from . import style as canvas
from .style import Frame

MARKS = "osD^vP*Xp<>hd"
PANEL = 3.9  # inches
OUT = {"marker": ".", "ms": 8, "color": canvas.SOFT, "mec": "none", "alpha": 0.7}


def pareto(results: Results, frame: Frame) -> Figure | None:
    """Top-1 and peak memory against latency, the front marked; None with fewer than two that compete."""
    rows = competitors(results)
    known = [name for name, has in (("top1", _top1), ("peak", _peak)) if any(has(row) for row in rows)]
    if len(rows) < 2 or not known:
        return None
    best = front(results)
    title = f"{len(best)} of {len(rows)} on the Pareto front"
    figure, every = canvas.empty(results, title, frame, PANEL, len(known), False)
    names = short_names(row.name for row in results.variants)
    for axes, kind in zip(every, known, strict=True):
        has, text = {"top1": (_top1, "Top-1 in %, 95 % interval"), "peak": (_peak, "peak memory in MB")}[kind]
        for row in rows:
            if (found := has(row)) and row not in best:
                _point(axes, row, found, zorder=2, **OUT)
        for mark, row in zip(itertools.cycle(MARKS), best):
            if found := has(row):
                edge, face = canvas.colours(row)
                style = {"color": edge, "mfc": face, "mec": edge, "label": names[row.name]}
                _point(axes, row, found, marker=mark, ms=9, zorder=3, **style)
        _scales(axes, "latency in ms", text)
    handles, labels = every[0].get_legend_handles_labels()
    if len(best) < len(rows):
        handles += every[0].plot([], [], ls="none", **OUT)
        labels.append("not on the front")
    figure.legend(handles, labels, loc="outside lower left", ncols=1 if frame.narrow else 3, **canvas.SMALL)
    return figure


def batch(results: Results, frame: Frame) -> Figure | None:
    """Milliseconds a picture and pictures a second by batch size; None for one batch size."""
    return _sweep(results, "batch", frame)


def threads(results: Results, frame: Frame) -> Figure | None:
    """The same by number of threads; None for one number of threads."""
    return _sweep(results, "threads", frame)


def _sweep(results: Results, over: str, frame: Frame) -> Figure | None:
    sweep = next((each for each in sweep_tables.sweeps(results) if each.over == over), None)
    if sweep is None:
        return None
    noun = sweep_tables.HEADERS[over]
    figure, (left, right) = canvas.empty(results, f"latency and throughput by {noun}", frame, PANEL, 2, False)
    for mark, (name, rows) in zip(itertools.cycle(MARKS), sweep.rows.items()):
        x = sorted(rows)
        found = [mean_latency(rows[value].rounds) for value in x]
        edge, face = canvas.colours(rows[x[0]])
        style = {"color": edge, "marker": mark, "ms": 6, "mfc": face, "lw": 1.2, "label": name}
        size = [rows[value].batch for value in x]
        values, low, high = np.array([[each.value, each.low, each.high] for each in found]).T / size
        low, high = np.where(np.isnan(low), values, low), np.where(np.isnan(high), values, high)
        left.errorbar(x, values, [values - low, high - values], **style)
        right.errorbar(x, 1e3 / values, [1e3 / values - 1e3 / high, 1e3 / low - 1e3 / values], **style)
    _scales(left, noun, "ms a picture, 95 % interval")
    _scales(right, noun, "pictures a second, 95 % interval")
    for axes in (left, right):
        axes.set_xticks(sweep.values)
        axes.set_yscale("log")
        _plain(axes.yaxis)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=1 if frame.narrow else 3, **canvas.SMALL)
    return figure


def _top1(row: Row) -> tuple[float, float, float] | None:
    if row.top1 is None or not row.images:
        return None
    found = wilson(row.top1, row.images)
    return 100 * found.value, 100 * (found.value - found.low), 100 * (found.high - found.value)


def _peak(row: Row) -> tuple[float, float, float] | None:
    return (float(np.median(row.peak_rss_mb)), 0.0, 0.0) if any(row.peak_rss_mb) else None


def _point(axes: Axes, row: Row, found: tuple[float, float, float], **style: object) -> None:
    latency, (value, below, above) = mean_latency(row.rounds), found
    ends = np.nan_to_num([[latency.value - latency.low], [latency.high - latency.value]])
    axes.errorbar(latency.value, value, [[below], [above]], ends, ls="none", elinewidth=1.2, **style)


def _scales(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    _plain(axes.xaxis)
    axes.set_xlabel(x)
    axes.set_title(y, loc="left", size=canvas.FONT - 0.5, color=canvas.SOFT)
    axes.grid(axis="y", color=canvas.GRID, lw=0.8)


def _plain(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5 of each decade, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_locator(NullLocator())
