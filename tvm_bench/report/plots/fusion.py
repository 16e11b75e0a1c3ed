"""The plot of the command `inspect`: the fused groups of a library, and which group reads the output of which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from ...spec.errors import UserError
from .style import COLOURS, DPI, FONT, INK, OTHER, PALE, PAPER, SMALL, SOFT

WIDTH, ROW, REST = 8.5, 0.56, 1.1  # inches; the last is for title and legend
BOX, STRIPE, LANE = 0.62, 0.05, 0.14  # a row is 1 high, and an inch is 1 wide
MOST = 96  # characters of a line
LABELS = {"int8": "INT8", "fp32": "FP32", "": "several outputs"}  # of the types, in the legend
Source = int | str  # the index of a group, or the name of an input


def draw(groups: Sequence[Mapping[str, Any]], name: str) -> Figure:
    """A box for each of `groups`, in the order of execution; lines at the left pass by the groups between.

    The stripe of a box shows the type of the output that it writes to memory.
    """
    if any("sources" not in group for group in groups):
        raise UserError(
            "an earlier version built this library, without notes of which group reads which: build it again."
        )
    inputs = {source for group in groups for source in group["sources"] if isinstance(source, str)}
    rows: dict[Source, int] = {source: row for row, source in enumerate([*sorted(inputs), *range(1, len(groups) + 1)])}
    figure = Figure(figsize=(WIDTH, ROW * len(rows) + REST), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_title(f"{name}: {len(groups)} fused groups", loc="left", size=FONT + 1, color=INK)
    lanes = _lanes(groups, rows)
    left = LANE * (1 + max(lanes.values(), default=-1))
    for source in inputs:
        axes.text(left, rows[source], f"input: {source}", va="center", size=FONT, color=INK)
    for group in groups:
        _box(axes, group, left, rows[group["index"]])
        for source in {*group["sources"]}:
            _arrow(axes, left, rows[source], rows[group["index"]], lanes.get(source))
    axes.set_xlim(-LANE, WIDTH)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    kinds = {_kind(group) for group in groups}
    stripes = [
        Patch(facecolor=COLOURS.get(kind, OTHER), label=f"writes {LABELS.get(kind, kind)}") for kind in sorted(kinds)
    ]
    figure.legend(handles=stripes, loc="outside lower left", ncols=4, **SMALL)
    return figure


def _lanes(groups: Sequence[Mapping[str, Any]], rows: Mapping[Source, int]) -> dict[Source, int]:
    """A lane for each output that is read farther down than by the next row, such that no two lines share a place."""
    ends: dict[Source, int] = {}
    for group in groups:
        for source in group["sources"]:
            if rows[group["index"]] > rows[source] + 1:
                ends[source] = max(ends.get(source, 0), rows[group["index"]])
    lanes: dict[Source, int] = {}
    free: list[int] = []  # the row from which each lane is free
    for source in sorted(ends, key=rows.__getitem__):
        lane = next((lane for lane, row in enumerate(free) if row <= rows[source]), len(free))
        free[lane : lane + 1] = [ends[source]]
        lanes[source] = lane
    return lanes


def _box(axes: Axes, group: Mapping[str, Any], left: float, row: int) -> None:
    top, width = row - BOX / 2, WIDTH - left - STRIPE
    axes.add_patch(FancyBboxPatch((left, top), width, BOX, "round,pad=0,rounding_size=0.04", **PALE))
    axes.add_patch(FancyBboxPatch((left, top), STRIPE, BOX, "square,pad=0", fc=COLOURS.get(_kind(group), OTHER), lw=0))
    others = Counter(group["operators"]) - Counter([group["anchor"]])
    with_others = ", ".join(f"{count} {name}" if count > 1 else name for name, count in others.items())
    small: dict[str, Any] = {"size": FONT - 3, "va": "center", "color": SOFT}
    x = left + 3 * STRIPE
    axes.text(x, row - 0.13, f"{group['index']}  {group['anchor']}", size=FONT - 1, va="center", color=INK)
    axes.text(x, row + 0.16, with_others if len(with_others) <= MOST else f"{with_others[:MOST]}…", **small)
    axes.text(WIDTH - 2 * STRIPE, row - 0.13, group["output"], ha="right", **small)


def _arrow(axes: Axes, left: float, source: int, target: int, lane: int | None) -> None:
    """An arrow to the next row, or along a lane; the start of a line is a little below the middle of its box."""
    if target == source + 1:
        path = [(left + 4 * STRIPE, source + BOX / 2), (left + 4 * STRIPE, target - BOX / 2)]
    else:
        x = left - LANE * (1 + (lane or 0))
        path = [(left, source + BOX / 4), (x, source + BOX / 4), (x, target - BOX / 4), (left, target - BOX / 4)]
    axes.plot(*zip(*path[:-1], strict=True), color=SOFT, lw=1)
    axes.annotate("", path[-1], path[-2], arrowprops={"arrowstyle": "-|>", "color": SOFT, "shrinkA": 0, "shrinkB": 0})


def _kind(group: Mapping[str, Any]) -> str:
    """`int8` for a group that writes integers of 8 bits, `fp32` for floats, else the type's own name, or ""."""
    kind = group["output"].partition("(")[0]
    return {"uint8": "int8", "float32": "fp32"}.get(kind, kind)
