"""An empty picture with a lane for each row, and the marks that all pictures share."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..results import Results, Row
from . import units

COLOURS = {
    "fp32": "#2b6cb0",
    "int8": "#d2691e",
    "bf16": "#2f855a",
    "fp16-dynamic": "#805ad5",
    "int8-dynamic": "#b83280",
}
OTHER, INK, SOFT, GRID = "#666666", "#222222", "#767676", "#e3e3e3"
COMPILED = ("relay", "relay-stock", "relax", "inductor", "inductor-max-autotune")
WIDTH, DPI = 9.0, 180  # inches, dots an inch: the text still reads well at 900 pixels
ROW, FRAME = 0.62, 1.75  # inches for a row, and for title, axis and legend together
FONT = 10.5
TITLE = 84  # characters a line
BAR = 0.46


def figure(rows: list[Row], results: Results, message: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty picture with a lane for each row, the first on top, and a legend for what the rows have."""
    model = units.model_name(row.name for row in results.variants)
    figure = Figure(figsize=(WIDTH, ROW * len(rows) + FRAME), dpi=DPI, facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    widths = {"width_ratios": [3, 2]} if panels == 2 else {}
    every = list(figure.subplots(1, panels, sharey=True, squeeze=False, **widths)[0])
    for axes in every:
        _quiet(axes)
    names = units.short_names(row.name for row in results.variants)
    every[0].set_yticks(range(len(rows)), [names[row.name] for row in rows])
    every[0].set_ylim(len(rows) - 0.35, -0.65)
    title = textwrap.fill(f"{model}: {message.replace(f'{model}/', '')}", TITLE, break_on_hyphens=False)
    figure.suptitle(title, x=0.012, ha="left", size=FONT + 2.5, color=INK)
    figure.legend(handles=_legend(rows), loc="outside lower left", ncols=4, frameon=False, fontsize=FONT - 1)
    return figure, every


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(axis="y", length=0, labelsize=FONT, labelcolor=INK)
    axes.tick_params(axis="x", labelsize=FONT - 1, color=SOFT, labelcolor=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.label.set(size=FONT - 0.5, color=SOFT)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _legend(rows: list[Row]) -> list[Patch]:
    present = [name for name in COLOURS if any(row.precision == name for row in rows)]
    patches = [Patch(color=COLOURS[name], label=name.upper()) for name in present]
    if any(row.backend in COMPILED for row in rows):
        patches.append(Patch(fc=OTHER, ec=OTHER, label="solid: compiled"))
        patches.append(Patch(fc=_tint(OTHER), ec=OTHER, label="light: not compiled"))
    return patches


def bar(axes: Axes, y: float, width: float, row: Row) -> None:
    """A horizontal bar from 0 to `width` in lane `y`, in the row's colour."""
    edge, face = colours(row)
    axes.barh(y, width, height=BAR, facecolor=face, edgecolor=edge, lw=1)


def label(axes: Axes, x: float, y: float, text: str, left: bool = False) -> None:
    """Text beside the point (x, y), to its right unless `left`."""
    shift, align = (-6, "right") if left else (6, "left")
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # hides the grid behind the text
    style = {"ha": align, "va": "center_baseline", "size": FONT - 0.5, "color": INK, "bbox": paper}
    axes.annotate(text, (x, y), (shift, 0), textcoords="offset points", **style)


def colours(row: Row) -> tuple[str, str | tuple[float, ...]]:
    """Colour of the row's edge and of its face: the precision's own, paler inside where nothing was compiled."""
    edge = COLOURS.get(row.precision, OTHER)
    return edge, edge if row.backend in COMPILED else _tint(edge)


def _tint(colour: str) -> tuple[float, ...]:
    return tuple(0.35 * part + 0.65 for part in to_rgb(colour))
