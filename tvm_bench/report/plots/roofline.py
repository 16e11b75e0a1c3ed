"""The plot of the command `explain`: what each kernel computes per second, and what limits it.

Williams, Waterman and Patterson 2009, "Roofline: An Insightful Visual Performance Model", CACM 52 (4).
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ...analysis.explanation.explained import Explanation
from .style import COLOURS, FONT, INK, OTHER, SOFT, chart

BANDWIDTHS = {"memory": "memory", "l3": "L3 cache", "l2": "L2 cache"}  # of the peaks, as they are called in the plot
AREA = 3000.0  # square points of a kernel that takes all of the time
NUMBERED = 0.02  # share of the time: smaller kernels have no number


def draw(found: Explanation, name: str) -> Figure | None:
    """Circles are kernels, as large as their time, with their numbers in the table; None if none has operations.

    Right of the bend of a roof, arithmetic limits a kernel, left of it the bytes that it moves.
    """
    kernels = [(n, k, k.limit) for n, k in enumerate(found.kernels, 1) if k.ms and k.limit and k.limit.operations]
    if not kernels:
        return None
    figure, axes = chart(f"{name}: kernels, as large as their time", "operations per byte", "GOP/s")
    intensities = [limit.operations / limit.bytes for _, _, limit in kernels if limit.bytes]
    x = np.geomspace(min([*intensities, 1.0]) / 2, max([*intensities, 100.0]) * 2, 200)
    kinds = {limit.kind for _, _, limit in kernels} & found.peaks.keys()
    top = max((found.peaks[kind] for kind in kinds), default=float("inf"))
    for peak, label in BANDWIDTHS.items():
        if peak in found.peaks:
            y = found.peaks[peak] * x
            axes.plot(x[y < top], y[y < top], color=SOFT, lw=1, ls=":")
            axes.annotate(label, (x[0], y[0]), (3, 12), textcoords="offset points", size=FONT - 2, color=SOFT)
    for kind in sorted(kinds):
        axes.axhline(found.peaks[kind], color=COLOURS.get(kind, OTHER), lw=1)
        at = (x[-1], found.peaks[kind])
        axes.annotate(kind.upper(), at, (-4, 3), textcoords="offset points", ha="right", size=FONT - 2, color=SOFT)
    for number, kernel, limit in kernels:
        at = (limit.operations / limit.bytes if limit.bytes else x[-1], limit.operations / 1e6 / (kernel.ms or 1.0))
        axes.scatter(*at, s=AREA * (kernel.share or 0.0), color=COLOURS.get(limit.kind, OTHER), alpha=0.6)
        if (kernel.share or 0.0) >= NUMBERED:
            axes.annotate(str(number), at, ha="center", va="center", size=FONT - 2, color=INK)
    axes.loglog()
    axes.set_xlim(x[0], x[-1])
    return figure
