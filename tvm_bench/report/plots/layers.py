"""The plot of a comparison of two libraries: the milliseconds of their layers, side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from ...analysis.explanation.layer_changes import Comparison
from ..layer_changes import MOST
from .style import COLOURS, FONT, INK, OTHER, chart

BAR = 0.38  # height; layers are 1 apart


def draw(comparison: Comparison, old: str, new: str) -> Figure:
    """A pair of bars for each layer, the slowest on top."""
    layers = sorted(comparison.layers[:MOST], key=lambda layer: -max(layer.old.ms, layer.new.ms))
    title = f"{new}: {comparison.new_ms:.3g} ms, {old}: {comparison.old_ms:.3g} ms"
    figure, axes = chart(title, "milliseconds", "", height=1.2 + 0.34 * len(layers))
    lines = range(len(layers))
    axes.barh([y - BAR / 2 for y in lines], [layer.old.ms for layer in layers], BAR, color=OTHER, label=old)
    axes.barh([y + BAR / 2 for y in lines], [layer.new.ms for layer in layers], BAR, color=COLOURS["int8"], label=new)
    axes.set_yticks(lines, [layer.layer for layer in layers], size=FONT - 2, color=INK)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.legend(frameon=False, fontsize=FONT - 1, loc="lower right")
    return figure
