"""Bar charts with one bar per variant. The colour shows the precision; solid bars are Relay's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis.accuracy import drop, wilson
from ...analysis.comparable import reference
from ...analysis.names import shortened
from ...analysis.results import Results, Row
from ...analysis.statistics import Estimate, by_latency, mean_latency, percentiles, round_medians, speed_up
from ...analysis.verdict import judge
from .. import formatting, summary_text
from . import style
from .style import Frame


def latency(results: Results, frame: Frame) -> Figure | None:
    """Mean latency in ms with its interval, and the samples below; None if nothing was timed."""
    rows = by_latency(results)
    if not rows:
        return None
    figure, (axes,) = style.figure(rows, results, summary_text.headline(judge(shortened(results))), frame)
    end = max(max(percentiles(row.rounds)[99], round_medians(row.rounds).max()) for row in rows)
    for y, row in enumerate(rows):
        estimate, samples = mean_latency(row.rounds), np.concatenate(row.rounds)
        style.bar(axes, y, estimate.value, row)
        axes.plot([estimate.low, estimate.high], [y, y], color=style.INK, lw=2.5, solid_capstyle="butt")
        height = y + style.BAR / 2 + np.random.default_rng(0).uniform(0.05, 0.2, len(samples))
        # Drawn as pixels, since thousands of markers would be most of an HTML report; grey fits light and dark pages.
        axes.plot(samples, height, ".", ms=2.5, mew=0, color=style.SOFT, alpha=0.35, rasterized=True)
        gain = speed_up(row, results)
        text = f"{formatting.ms(estimate.value)} ms" + (f" · {gain.value:.2f}× as fast" if gain else "")
        style.label(axes, frame, min(max(estimate.value, np.nan_to_num(estimate.high)), end), y, text)
    reach = (1.02 if frame.narrow else 1.28) * end
    axes.set_xlim(0, reach)
    beyond = sum(int((np.concatenate(row.rounds) > reach).sum()) for row in rows)
    compared = f"; × as fast as {results.reference_label}" if reference(rows[0], results) in rows else ""
    note = f" ({beyond} beyond the axis)" if beyond else ""
    axes.set_xlabel(f"latency in ms{compared}\nbar: mean of the rounds, line: 95 % interval, dots: samples{note}")
    return figure


def memory(results: Results, frame: Frame) -> Figure | None:
    """Peak resident memory in MB, split into imports and the rest; None without data."""
    rows = [row for row in _ordered(results) if row.peak_rss_mb]
    if not rows:
        return None
    peaks = [float(np.median(row.peak_rss_mb)) for row in rows]
    figure, (axes,) = style.figure(rows, results, f"peak memory of {_range(peaks)} MB", frame)
    for y, (row, peak) in enumerate(zip(rows, peaks, strict=True)):
        style.bar(axes, y, peak, row)
        text = f"{formatting.mb(peak)} MB"
        if row.rss_after_import_mb:
            imports = float(np.median(row.rss_after_import_mb))
            axes.barh(y, imports, height=style.BAR, **style.PALE)
            text += f" · +{formatting.mb(peak - imports)} over imports"
        style.label(axes, frame, peak, y, text)
    axes.set_xlim(0, (1.02 if frame.narrow else 1.42) * max(peaks))
    axes.set_xlabel("Peak resident memory (VmHWM) in MB. Grey: after imports. Colour: model and inference.")
    return figure


def size(results: Results, frame: Frame) -> Figure | None:
    """Size of the deployed file in MB; None without data."""
    sized = [(row, row.size_mb) for row in _ordered(results) if row.size_mb is not None]
    if not sized:
        return None
    rows, sizes = [row for row, _ in sized], [size_mb for _, size_mb in sized]
    figure, (axes,) = style.figure(rows, results, f"files of {_range(sizes)} MB", frame)
    for y, (row, size_mb) in enumerate(sized):
        style.bar(axes, y, size_mb, row)
        style.label(axes, frame, size_mb, y, f"{formatting.mb(size_mb)} MB")
    axes.set_xlim(0, (1.02 if frame.narrow else 1.15) * max(sizes))
    axes.set_xlabel("MB on disk")
    return figure


def accuracy(results: Results, frame: Frame) -> Figure | None:
    """Top-1 with Wilson's interval on a zoomed axis, beside the difference from the reference; None without data."""
    scored = [(row, wilson(row.top1, row.images)) for row in _ordered(results) if row.top1 is not None and row.images]
    if not scored:
        return None
    rows = [row for row, _ in scored]
    base = next((base for row in rows if (base := reference(row, results)) in rows), None)
    images = " / ".join(f"{count:,}" for count in sorted({row.images or 0 for row in rows}))
    figure, (axes, *rest) = style.figure(
        rows,
        results,
        f"Top-1 of {_range([100 * share.value for _, share in scored])} % on {images} images",
        frame,
        panels=2 if base else 1,
    )
    for y, (row, share) in enumerate(scored):
        colour, face = style.colours(row)
        axes.plot([100 * share.low, 100 * share.high], [y, y], color=colour, lw=2.5, solid_capstyle="butt")
        axes.plot(100 * share.value, y, "o", ms=9, mfc=face, mec=colour, mew=1.5)
        axes.annotate(
            formatting.percent(share.value),
            (100 * share.value, y),
            (0, 8),
            textcoords="offset points",
            ha="center",
            color=style.INK,
        )
    axes.margins(x=0.08)
    axes.set_xlabel("Top-1 in % with 95 % interval\n(zoomed: the axis does not start at 0)")
    if base and rest:
        _differences(rest[0], rows, base, frame)
        rest[0].set_xlabel(f"Top-1 minus that of {results.reference_label}\nin percentage points, on the same images")
    return figure


def _differences(axes: Axes, rows: list[Row], base: Row, frame: Frame) -> None:
    drops = [drop(row, base) or Estimate(0, 0, 0) for row in rows]
    for y, (row, lost) in enumerate(zip(rows, drops, strict=True)):
        style.bar(axes, y, -lost.value, row)
        if row is not base and not np.isnan(lost.low):
            axes.plot([-lost.high, -lost.low], [y, y], color=style.INK, lw=2.5, solid_capstyle="butt")
        text = "reference" if row is base else formatting.points(-lost.value / 100)
        style.label(axes, frame, -np.nan_to_num(lost.low, nan=lost.value), y, text)
    reach = max(0.1, *(np.nanmax(np.abs([lost.value, lost.low, lost.high])) for lost in drops))
    axes.axvline(0, color=style.INK, lw=1)
    axes.set_xlim(-1.1 * reach, (1.1 if frame.narrow else 2) * reach)


def _ordered(results: Results) -> list[Row]:
    timed = by_latency(results)
    return timed + [row for row in results.variants if row.ok and not row.rounds]


def _range(values: Sequence[float]) -> str:
    low, high = formatting.mb(min(values)), formatting.mb(max(values))
    return low if low == high else f"{low} to {high}"
