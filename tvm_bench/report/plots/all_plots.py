"""All plots: PNG files beside report.md, and SVG inside report.html, in the same order."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ...analysis.comparable import races
from ...analysis.results import Results
from . import bar_charts, curves, steps, style

# The function that draws the plot, and whether it shows the whole sweep, not only the race of the verdict.
PLOTS: dict[str, tuple[Callable[[Results, style.Frame], Figure | None], bool]] = {
    "latency": (bar_charts.latency, False),
    "ladder": (steps.ladder, False),
    "pareto": (curves.pareto, False),
    "batch": (curves.batch, True),
    "threads": (curves.threads, True),
    "memory": (bar_charts.memory, False),
    "size": (bar_charts.size, False),
    "accuracy": (bar_charts.accuracy, False),
    "start": (steps.start, False),
    "rounds": (steps.rounds, False),
}
# Colours that the style sheet of the page defines, so that a plot fits light and dark pages.
VARIABLES = {style.INK: "ink", style.SOFT: "soft", style.GRID: "line", style.PAPER: "paper"}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw each plot that has data as PNG into `folder`, and remove old ones without data. Returns the files."""
    drawn = []
    for name in PLOTS:
        path = folder / f"{name}.png"
        figure = draw(name, results, style.WIDE)
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        style.write(figure, path)
        drawn.append(path)
    return drawn


def draw(name: str, results: Results, frame: style.Frame) -> Figure | None:
    """The plot `name`; None if the results have no data for it."""
    plot, whole = PLOTS[name]
    return plot(results if whole else races(results)[0], frame)


def svg(name: str, results: Results, frame: style.Frame) -> str | None:
    """The plot as an `<svg>` element with text as text and colours as variables of the page; None without data."""
    figure = draw(name, results, frame)
    if figure is None:
        return None
    text = io.StringIO()
    # Without the salt, the markers and clips of two plots on one page would have the same ids.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{name}{frame.width}"}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    code = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.S)
    code = re.sub(r"\b(id=\"|url\(#|href=\"#)", rf"\g<1>{name}-{frame.title}-", code[code.index("<svg") :])
    for colour, variable in VARIABLES.items():
        code = code.replace(colour, f"var(--{variable})")
    for edge in (*style.COLOURS.values(), style.OTHER):
        pale = to_hex(style.tint(edge))
        code = code.replace(pale, f"color-mix(in srgb, {edge} 35%, var(--paper))")
    return code.replace("'DejaVu Sans', ", "")
