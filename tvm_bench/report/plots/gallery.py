"""Plots of a model before and after compression: confusion matrices, changed classes, mistakes, what layers hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, DPI, COLUMNS, FONT = "#222222", 150, 8, 9.0
BLUE, ORANGE = "#2b6cb0", "#d2691e"  # before and after
MANY = 20  # classes; with more, names and counts do not fit into a matrix


def write(data: Path, folder: Path, names: list[str]) -> list[Path]:
    """Draw the arrays that the verb `figures` wrote to `data` for the two models `names`. Returns the PNG files."""
    from . import style

    arrays = dict(np.load(data))
    figures = {
        "confusion": _confusion(arrays, names),
        "changed": _examples(arrays, "changed", f"changed their class from {names[0]} to {names[1]}"),
        "misclassified": _examples(arrays, "wrong", f"are misclassified by {names[1]}, most confident first"),
        "features": _features(arrays, names),
        "histograms": _histograms(arrays, names),
    }
    files = []
    for name, figure in figures.items():
        style.write(figure, folder / f"{name}.png")
        files.append(folder / f"{name}.png")
    return files


def confusion(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """The number of images of each class (row) by predicted class (column), int64 (classes, classes)."""
    return np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)


def _confusion(arrays: dict[str, np.ndarray], names: list[str]) -> Figure:
    classes = [str(name) for name in arrays["classes"]]
    matrices = [confusion(arrays["labels"], answers, len(classes)) for answers in arrays["answers"]]
    figure = _figure(15.0, 5.6)
    figure.suptitle(f"{len(arrays['labels']):,} test images: class (row) and prediction (column)", color=INK)
    change = matrices[1] - matrices[0]
    limit = max(1, np.abs(change).max())
    # Most predictions are correct: on a linear scale the mistakes would be invisible.
    shown = [np.log1p(matrix) for matrix in matrices]
    panels: list[tuple[str, np.ndarray, np.ndarray, dict[str, Any]]] = [
        (f"{names[0]}: {_correct(matrices[0])}", shown[0], matrices[0], {"cmap": "Blues"}),
        (f"{names[1]}: {_correct(matrices[1])}", shown[1], matrices[1], {"cmap": "Blues", "vmax": shown[0].max()}),
        (
            f"{names[1]} minus {names[0]}",
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


def _correct(matrix: np.ndarray) -> str:
    return f"{matrix.trace():,} correct"


def _examples(arrays: dict[str, np.ndarray], name: str, message: str) -> Figure:
    """The figure of the images `{name}_images`, with their indices, classes and both predictions."""
    indices, images, classes = arrays[name], arrays[f"{name}_images"], arrays["classes"]
    rows = max(1, math.ceil(len(images) / COLUMNS))
    figure = _figure(1.75 * COLUMNS, 2.35 * rows + 0.6)
    figure.suptitle(f"{len(indices):,} of {len(arrays['labels']):,} images {message}", color=INK)
    cells = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes in cells:
        axes.axis("off")
    for axes, index, image in zip(cells, indices, images, strict=False):
        label, before, after = (str(classes[i]) for i in (arrays["labels"][index], *arrays["answers"][:, index]))
        _show(axes, image)
        axes.set_title(f"#{index}: {label}\n{before} → {after}", size=FONT - 2, color=INK)
    return figure


def _features(arrays: dict[str, np.ndarray], names: list[str]) -> Figure:
    layers = _layers(arrays)
    channels = max((len(arrays[f"before_{i}"]) for i in range(len(layers))), default=1)
    figure = _figure(1.2 * (channels + 2), 1.2 * max(1, 2 * len(layers)) + 0.6)
    figure.suptitle(
        f"Test image #{arrays['image_index']}: first channels of the last convolution at each size; of each pair, the "
        f"upper row is {names[0]}, the lower {names[1]}",
        color=INK,
    )
    grid = figure.add_gridspec(max(1, 2 * len(layers)), channels + 2)
    _show(figure.add_subplot(grid[:2, :2]), arrays["image"])
    for i, name in enumerate(layers):
        for below, when in enumerate(("before", "after")):
            for channel, values in enumerate(arrays[f"{when}_{i}"]):
                axes = figure.add_subplot(grid[2 * i + below, channel + 2])
                axes.imshow(values, cmap="viridis")
                axes.axis("off")
                if not below and not channel:
                    axes.set_title(f"{name}, {values.shape[0]}×{values.shape[1]}", size=FONT - 1, loc="left", color=INK)
    return figure


def _histograms(arrays: dict[str, np.ndarray], names: list[str]) -> Figure:
    layers = _layers(arrays)
    figure = _figure(11.0, 1.9 * max(1, len(layers)) + 0.8)
    figure.suptitle(f"weights and outputs of test image #{arrays['image_index']}: counts of values", color=INK)
    grid = figure.subplots(max(1, len(layers)), 2, squeeze=False)
    for i, name in enumerate(layers):
        for axes, kind in zip(grid[i], ("weights", "outputs"), strict=True):
            for counts, label, colour in zip(arrays[f"{kind}_{i}"], names, (BLUE, ORANGE), strict=True):
                axes.stairs(counts, arrays[f"{kind}_edges_{i}"], color=colour, label=label)
            axes.set_yscale("log")
            axes.set_title(f"{name}, {kind}", size=FONT, loc="left", color=INK)
            axes.tick_params(labelsize=FONT - 1)
    grid[0, 1].legend(frameon=False, fontsize=FONT - 1)
    return figure


def _layers(arrays: dict[str, np.ndarray]) -> list[str]:
    """The names of the layers that are shown."""
    return [str(arrays[f"layer_{i}"]) for i in range(sum(key.startswith("layer_") for key in arrays))]


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray")
    axes.axis("off")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
