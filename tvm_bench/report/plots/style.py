"""The style of all plots: empty charts, colours, bars and labels."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ...analysis.names import model_name, short_names
from ...analysis.results import Results, Row
from ...host.files import replace_with

COLOURS = {
    "fp32": "#2b6cb0",
    "int8": "#d2691e",
    "bf16": "#2f855a",
    "fp16": "#b7791f",
    "fp16-dynamic": "#6b46c1",
    "int8-dynamic": "#b83280",
}
OTHER, INK, SOFT, GRID, PAPER = "#666666", "#222222", "#767676", "#e3e3e3", "#ffffff"
RELAY = ("relay", "relay-stock")
DPI = 180  # text stays readable at a width of 900 pixels
FONT = 10.5
BAR = 0.46  # height; rows are 1 apart
PALE: dict[str, Any] = {"facecolor": "#f3f3f3", "edgecolor": "#b5b5b5", "lw": 1}  # the first part of a bar


Colour = str | tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """The layout of a chart. Sizes are in inches."""

    width: float
    row: float  # height of a row
    rest: float  # height of title, axis and legend together
    title: int  # characters per line
    narrow: bool


WIDE = Frame(9.0, 0.62, 1.75, 84, False)
# For phones: labels are above the bars, not beside them.
NARROW = Frame(4.4, 0.74, 2.2, 42, True)


def figure(rows: list[Row], results: Results, message: str, frame: Frame, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty chart with a line for each row, the first on top, and a legend of the colours in use."""
    height = frame.row * len(rows) + (frame.rest if not frame.narrow else frame.rest / panels)
    figure, panes = empty(results, message, frame, height, panels, sharey=True)
    figure.legend(handles=_legend(rows), loc="outside lower left", ncols=2 if frame.narrow else 5, **SMALL)
    names = short_names(row.name for row in results.variants)
    for axes in panes:
        axes.set_ylim(len(rows) - 0.35, -0.75)
        if frame.narrow:
            axes.set_yticks([])
            for y, row in enumerate(rows):
                axes.text(0, y - 0.36, names[row.name], transform=axes.get_yaxis_transform(), size=FONT - 1, color=INK)
    if not frame.narrow:
        panes[0].set_yticks(range(len(rows)), [names[row.name] for row in rows])
    return figure, panes


def chart(title: str, x: str, y: str, height: float = 4.6) -> tuple[Figure, Axes]:
    """An empty figure of `height` inches with one pair of axes, named `x` and `y`."""
    figure = Figure(figsize=(7.5, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", size=FONT + 1, color=INK)
    axes.set_xlabel(x, color=SOFT)
    axes.set_ylabel(y, color=SOFT)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def write(figure: Figure, path: Path) -> None:
    """Write a figure to a PNG or SVG file, by its suffix."""
    with replace_with(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


SMALL: dict[str, Any] = {"frameon": False, "fontsize": FONT - 1}


def empty(
    results: Results, message: str, frame: Frame, height: float, panels: int, sharey: bool
) -> tuple[Figure, list[Axes]]:
    """A figure with a title and empty panels of `height` inches, side by side, or stacked in a narrow frame."""
    model = model_name(row.name for row in results.variants)
    rows, columns = (panels, 1) if frame.narrow else (1, panels)
    size = (frame.width, height * (panels if frame.narrow else 1))
    figure = Figure(figsize=size, dpi=DPI, facecolor=PAPER)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    widths = [3, 2] if panels == 2 and sharey and not frame.narrow else None
    panes = list(figure.subplots(rows, columns, sharey=sharey, squeeze=False, width_ratios=widths).flat)
    for axes in panes:
        _remove_frame(axes)
    title = textwrap.fill(f"{model}: {message.replace(f'{model}/', '')}", frame.title, break_on_hyphens=False)
    figure.suptitle(title, x=0.012, ha="left", size=FONT + (0.5 if frame.narrow else 2.5), color=INK)
    return figure, panes


def _remove_frame(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(axis="y", length=0, labelsize=FONT, labelcolor=INK)
    axes.tick_params(axis="x", labelsize=FONT - 1, color=SOFT, labelcolor=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.label.set(size=FONT - 0.5, color=SOFT)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _legend(rows: list[Row]) -> list[Patch]:
    present = [name for name in COLOURS if any(row.precision == name for row in rows)]
    patches = [Patch(color=COLOURS[name], label=name.upper()) for name in present]
    if any(row.backend in RELAY for row in rows):
        patches.append(Patch(fc=OTHER, ec=OTHER, label="solid: Relay"))
        patches.append(Patch(fc=tint(OTHER), ec=OTHER, label="light: other runtimes"))
    return patches


def bar(axes: Axes, y: float, width: float, row: Row) -> None:
    """A horizontal bar from 0 to `width` at height `y`, in the colour of the row."""
    edge, face = colours(row)
    axes.barh(y, width, height=BAR, facecolor=face, edgecolor=edge, lw=1)


def label(axes: Axes, frame: Frame, x: float, y: float, text: str, left: bool = False) -> None:
    """Text to the right of the point (x, y), or to its `left`; in a narrow frame, above the bar."""
    if frame.narrow:
        above: dict[str, Any] = {"ha": "right", "size": FONT - 1, "color": INK}
        axes.text(1, y - 0.36, text, transform=axes.get_yaxis_transform(), **above)
        return
    shift, align = (-6, "right") if left else (6, "left")
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}  # hides the grid behind the text
    style: dict[str, Any] = {"ha": align, "va": "center_baseline", "size": FONT - 0.5, "color": INK, "bbox": paper}
    axes.annotate(text, (x, y), (shift, 0), textcoords="offset points", **style)


def colours(row: Row) -> tuple[str, Colour]:
    """The colours of edge and face: the precision's colour, with a pale face for other runtimes than Relay."""
    edge = COLOURS.get(row.precision, OTHER)
    return edge, edge if row.backend in RELAY else tint(edge)


def tint(colour: str) -> tuple[float, float, float]:
    """A pale version of a colour."""
    red, green, blue = to_rgb(colour)
    return 0.35 * red + 0.65, 0.35 * green + 0.65, 0.35 * blue + 0.65
