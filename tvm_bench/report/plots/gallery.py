"""Pictures of what a network answers before and after it was compressed: confusions, changes, mistakes, features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...host.files import replace_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, DPI, COLUMNS, FONT = "#222222", 150, 8, 9.0
MANY = 20  # classes whose names and counts still fit into a matrix


def write(data: Path, folder: Path, names: list[str]) -> list[Path]:
    """Draw what the verb `gallery` wrote to `data` for the two forms `names`; returns the PNG files in `folder`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    found = dict(np.load(data))
    drawings = {
        "confusion": _confusion(found, names),
        "changed": _pictures(found, "changed", f"changed their class from {names[0]} to {names[1]}"),
        "misclassified": _pictures(found, "wrong", f"are classified wrongly by {names[1]}, the surest first"),
        "features": _features(found, names),
    }
    files = []
    for name, figure in drawings.items():
        with replace_with(folder / f"{name}.png") as beside:
            FigureCanvasAgg(figure).print_png(beside)
        files.append(folder / f"{name}.png")
    return files


def confusion(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class (row) were given each class (column), int64 (classes, classes)."""
    return np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)


def _confusion(found: dict[str, np.ndarray], names: list[str]) -> Figure:
    classes = [str(name) for name in found["classes"]]
    matrices = [confusion(found["labels"], answers, len(classes)) for answers in found["answers"]]
    figure = _figure(15.0, 5.6)
    figure.suptitle(f"{len(found['labels']):,} test images: class (row) and answer (column)", color=INK)
    change = matrices[1] - matrices[0]
    limit = max(1, np.abs(change).max())
    # Most are right: on a linear scale the mistakes could not be told from nothing.
    shown = [np.log1p(matrix) for matrix in matrices]
    panels = [
        (f"{names[0]}: {_right(matrices[0])}", shown[0], matrices[0], {"cmap": "Blues"}),
        (f"{names[1]}: {_right(matrices[1])}", shown[1], matrices[1], {"cmap": "Blues", "vmax": shown[0].max()}),
        (
            "the second less the first",
            change,
            change,
            {"cmap": "RdBu", "vmin": -limit, "vmax": limit},
        ),
    ]
    for axes, (title, values, counts, scale) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.imshow(values, **scale)
        axes.set_title(title, size=FONT + 1, color=INK)
        if len(classes) > MANY:
            continue
        axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right", size=FONT - 1)
        axes.set_yticks(range(len(classes)), classes, size=FONT - 1)
        dark = np.abs(values) > 0.6 * np.abs(values).max()
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if dark[row, column] else INK
            axes.text(column, row, counts[row, column], ha="center", va="center", size=FONT - 2, color=colour)
    return figure


def _right(matrix: np.ndarray) -> str:
    return f"{matrix.trace():,} right"


def _pictures(found: dict[str, np.ndarray], what: str, message: str) -> Figure:
    numbers, pictures, classes = found[what], found[f"{what}_pictures"], found["classes"]
    rows = max(1, -(-len(pictures) // COLUMNS))
    figure = _figure(1.75 * COLUMNS, 2.35 * rows + 0.6)
    figure.suptitle(f"{len(numbers):,} of {len(found['labels']):,} images {message}", color=INK)
    cells = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes in cells:
        axes.axis("off")
    for axes, number, picture in zip(cells, numbers, pictures, strict=False):
        label, before, after = (str(classes[i]) for i in (found["labels"][number], *found["answers"][:, number]))
        _picture(axes, picture)
        axes.set_title(f"#{number}: {label}\n{before} → {after}", size=FONT - 2, color=INK)
    return figure


def _features(found: dict[str, np.ndarray], names: list[str]) -> Figure:
    layers = [str(found[f"layer_{i}"]) for i in range(sum(key.startswith("layer_") for key in found))]
    channels = max((len(found[f"before_{i}"]) for i in range(len(layers))), default=1)
    figure = _figure(1.2 * (channels + 2), 1.2 * max(1, 2 * len(layers)) + 0.6)
    figure.suptitle(
        f"Test image #{found['picture_number']}: first channels of the last convolution at each size; above each pair "
        f"{names[0]}, below it {names[1]}",
        color=INK,
    )
    grid = figure.add_gridspec(max(1, 2 * len(layers)), channels + 2)
    _picture(figure.add_subplot(grid[:2, :2]), found["picture"])
    for i, name in enumerate(layers):
        for below, when in enumerate(("before", "after")):
            for channel, values in enumerate(found[f"{when}_{i}"]):
                axes = figure.add_subplot(grid[2 * i + below, channel + 2])
                axes.imshow(values, cmap="viridis")
                axes.axis("off")
                if not below and not channel:
                    axes.set_title(f"{name}, {values.shape[0]}×{values.shape[1]}", size=FONT - 1, loc="left", color=INK)
    return figure


def _picture(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray")
    axes.axis("off")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
