"""Plots of steps: what each optimization gains, what a start takes, and the rounds one after the other."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ...analysis.names import short_names
from ...analysis.results import Results, Row
from ...analysis.statistics import by_latency, mean_latency, round_medians
from .. import formatting
from . import style
from .curves import MARKS, PANEL
from .style import Frame

# Precision, backend, and whether it is tuned.
LADDER = (
    ("fp32", "eager", False),
    ("fp32", "relay-stock", False),
    ("fp32", "relay", False),
    ("fp32", "relay", True),
    ("int8", "relay", False),
    ("int8", "relay", True),
)


def ladder(results: Results, frame: Frame) -> Figure | None:
    """Latency from eager PyTorch to tuned INT8, each step against the one before; None for fewer than three steps."""
    timed = by_latency(results)
    steps = [next((row for row in timed if _step(row) == step), None) for step in LADDER]
    rows = [row for row in steps if row]
    if len(rows) < 3:
        return None
    values = [mean_latency(row.rounds).value for row in rows]
    message = f"{values[0] / values[-1]:.1f} times as fast, step by step"
    figure, (axes,) = style.figure(rows, results, message, frame)
    for y, (row, value) in enumerate(zip(rows, values, strict=True)):
        style.bar(axes, y, value, row)
        gain = f" · {values[y - 1] / value:.2f}× as fast as the step above" if y else ""
        style.label(axes, frame, value, y, f"{formatting.ms(value)} ms{gain}")
    axes.set_xlim(0, (1.02 if frame.narrow else 1.5) * max(values))
    axes.set_xlabel("latency in ms")
    return figure


def start(results: Results, frame: Frame) -> Figure | None:
    """Milliseconds from the file to the first answer: loading and the first call; None without data."""
    rows = [row for row in by_latency(results) if row.load_ms and row.first_call_ms]
    if not rows:
        return None
    loads = [float(np.median(row.load_ms)) for row in rows]
    totals = [load + float(np.median(row.first_call_ms)) for row, load in zip(rows, loads, strict=True)]
    message = f"{formatting.ms(min(totals), 3)} to {formatting.ms(max(totals), 3)} ms until the first answer"
    figure, (axes,) = style.figure(rows, results, message, frame)
    for y, (row, load, total) in enumerate(zip(rows, loads, totals, strict=True)):
        style.bar(axes, y, total, row)
        axes.barh(y, load, height=style.BAR, **style.PALE)
        style.label(axes, frame, total, y, f"{formatting.ms(load, 3)} + {formatting.ms(total - load, 3)} ms")
    axes.set_xlim(0, (1.02 if frame.narrow else 1.3) * max(totals))
    axes.set_xlabel("milliseconds, medians, without imports\ngrey: loading, colour: first call")
    return figure


def rounds(results: Results, frame: Frame) -> Figure | None:
    """The median of each round relative to the variant's latency, disturbed rounds marked; None for one round."""
    rows = [row for row in by_latency(results) if len(row.rounds) > 1]
    if not rows:
        return None
    ratios = [round_medians(row.rounds) / mean_latency(row.rounds).value for row in rows]
    widest = max(float(np.abs(values - 1).max()) for values in ratios)
    message = f"rounds differ by at most {formatting.percent(widest)} from their mean"
    height = PANEL + (0.2 * len(rows) if frame.narrow else 0)  # the legend has a line for each
    figure, (axes,) = style.empty(results, message, frame, height, 1, False)
    names = short_names(row.name for row in results.variants)
    for mark, row, values in zip(itertools.cycle(MARKS), rows, ratios):
        x, (edge, face) = np.arange(1, len(values) + 1), style.colours(row)
        axes.plot(x, values - 1, marker=mark, ms=6, lw=1, color=edge, mfc=face, label=names[row.name])
        if disturbed := _disturbed(row):
            axes.plot(x[disturbed], values[disturbed] - 1, "x", ms=12, mew=2, color=style.INK, zorder=3)
    handles, labels = axes.get_legend_handles_labels()
    if any(map(_disturbed, rows)):
        handles += axes.plot([], [], "x", ms=9, mew=2, color=style.INK)
        labels.append("disturbed, and no repeat was left")
    axes.axhline(0, color=style.INK, lw=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("round")
    axes.set_title("median of the round, relative to the variant's latency", loc="left", **SUBTITLE)
    axes.grid(axis="y", color=style.GRID, lw=0.8)
    figure.legend(handles, labels, loc="outside lower left", ncols=1 if frame.narrow else 3, **style.SMALL)
    return figure


SUBTITLE: dict[str, Any] = {"size": style.FONT - 0.5, "color": style.SOFT}


def _step(row: Row) -> tuple[str, str, bool]:
    return row.precision, row.backend, row.tuned


def _disturbed(row: Row) -> list[int]:
    return [index for index, watch in enumerate(row.watch[: len(row.rounds)]) if watch.get("disturbance")]
