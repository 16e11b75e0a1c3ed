"""The plot of the command `sensitivity`: milliseconds and decibels of all mixes that were tried."""

from __future__ import annotations

from pathlib import Path

from ...analysis.mixed_precision import Sensitivity
from .style import COLOURS, FONT, INK, SOFT, chart, write


def draw(found: Sensitivity, path: Path) -> None:
    """Write the plot to a PNG file."""
    title = f"{found.model}: mixes by their number of nodes that are not INT8; circle: chosen"
    figure, axes = chart(title, "expected milliseconds", "SQNR of the outputs, dB")
    mixes = sorted(found.mixes, key=lambda mix: mix.ms)
    points = [(mix.ms, mix.outcome.cost.sqnr) for mix in mixes if mix.outcome.cost.noise > 0]
    axes.plot(*zip(*points, strict=True), "o-", color=COLOURS["int8"], lw=1, ms=5)
    for mix in mixes:
        if mix.outcome.cost.noise > 0:
            at = (mix.ms, mix.outcome.cost.sqnr)
            axes.annotate(str(len(mix.outcome.excluded)), at, (5, -11), textcoords="offset points", size=FONT - 2)
    if found.choice and found.choice.mix.outcome.cost.noise > 0:
        chosen = found.choice.mix
        axes.plot(chosen.ms, chosen.outcome.cost.sqnr, "o", ms=11, mfc="none", mec=INK)
    if found.limit.sqnr is not None:
        axes.axhline(found.limit.sqnr, color=SOFT, lw=1, ls="--")
    write(figure, path)
