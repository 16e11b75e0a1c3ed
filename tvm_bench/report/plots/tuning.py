"""The plot of the command `tune`: the time of all tasks together after each step of its tuners."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...analysis.tuning import Tuned
from .style import COLOURS, FONT, OTHER, chart

LINES = ("-", "--", ":")


def draw(found: Sequence[Tuned]) -> Figure:
    """A line for each tuner of each precision, by the times of the search.

    It rises while tasks are measured for the first time, and falls where a step found a faster schedule.
    """
    figure, axes = chart("tuning, by the times of the search", "steps", "milliseconds of the tasks that were measured")
    for tuned in found:
        for (tuner, ledger), line in zip(tuned.ledgers.items(), LINES, strict=False):
            label = f"{tuned.precision}, {tuner}"
            steps = range(1, len(ledger.curve) + 1)
            axes.step(steps, ledger.curve, line, where="post", color=COLOURS.get(tuned.precision, OTHER), label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=FONT - 1)
    return figure
