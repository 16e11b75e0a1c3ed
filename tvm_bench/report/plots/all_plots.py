"""All pictures: as PNG files beside report.md, and as SVG inside report.html. Order and names are the same in both."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ...analysis.comparable import races
from ...analysis.results import Results
from ...host.files import replace_with
from . import bar_charts, curves, style

# The picture, and whether it takes the whole sweep; the others show the race that the verdict is about.
PICTURES: dict[str, tuple[Callable[[Results, style.Frame], Figure | None], bool]] = {
    "latency": (bar_charts.latency, False),
    "pareto": (curves.pareto, False),
    "batch": (curves.batch, True),
    "threads": (curves.threads, True),
    "memory": (bar_charts.memory, False),
    "size": (bar_charts.size, False),
    "accuracy": (bar_charts.accuracy, False),
}
# Colours that a style sheet replaces, so that one picture suits light and dark paper.
VARIABLES = {style.INK: "ink", style.SOFT: "soft", style.GRID: "line", style.PAPER: "paper"}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw every picture that has data as PNG into `folder`; one of an earlier run that has none now is removed."""
    drawn = []
    for name in PICTURES:
        path = folder / f"{name}.png"
        figure = draw(name, results, style.WIDE)
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        with replace_with(path) as beside:
            FigureCanvasAgg(figure).print_png(beside)
        drawn.append(path)
    return drawn


def draw(name: str, results: Results, frame: style.Frame) -> Figure | None:
    """The picture called `name`; None where the results have no data for it."""
    picture, whole = PICTURES[name]
    return picture(results if whole else races(results)[0], frame)


def svg(name: str, results: Results, frame: style.Frame) -> str | None:
    """The picture as an `<svg>` element whose text is text and whose colours are the page's variables."""
    figure = draw(name, results, frame)
    if figure is None:
        return None
    text = io.StringIO()
    # Without the salt, the marks and clips of two pictures on one page would share their names.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{name}{frame.width}"}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    found = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.S)
    found = re.sub(r"\b(id=\"|url\(#|href=\"#)", rf"\g<1>{name}-{frame.title}-", found[found.index("<svg") :])
    for colour, variable in VARIABLES.items():
        found = found.replace(colour, f"var(--{variable})")
    for edge in (*style.COLOURS.values(), style.OTHER):
        pale = to_hex(style.tint(edge))
        found = found.replace(pale, f"color-mix(in srgb, {edge} 35%, var(--paper))")
    return found.replace("'DejaVu Sans', ", "")
