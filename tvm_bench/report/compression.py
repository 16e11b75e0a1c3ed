"""Prints and draws the result of a compression: tables of the models and of the layers, and a plot of the layers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.accuracy import wilson
from ..host.files import replace_with, write_json
from ..spec.compression_result import CompressionResult, LayerChange, ModelNumbers, Operator
from . import formatting
from .table import Table, rich_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console

MODELS = ("model", "file MB", "of FP32", "zipped MB", "parameters", "non-zero", "GFLOPs", "Top-1 [95 %]", "Top-5")
LAYERS = (
    *("layer", "KB\nbefore", "KB\nafter", "ratio", "sparsity", "non-zero", "MFLOPs\nbefore", "MFLOPs\nafter"),
    *("weights\nSQNR dB", "outputs\nSQNR dB"),
)
OPERATORS = ("operator", "calls", "self ms", "share", "self MB")
BEFORE, AFTER, INK, GRID = "#b5b5b5", "#2b6cb0", "#222222", "#e3e3e3"
WIDTH, ROW, FRAME = 12.0, 0.34, 1.7  # inches; FRAME is for title and axis
DPI, FONT = 150, 9.5


def write(result: CompressionResult, folder: Path) -> list[Path]:
    """Write `compression.json` and the plot of the layers into `folder`. Returns the files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data, plot = folder / "compression.json", folder / "plots" / "layers.png"
    write_json(data, result)
    with replace_with(plot) as temporary:
        FigureCanvasAgg(_draw(result)).print_png(temporary)
    return [data, plot]


def show(result: CompressionResult, console: Console) -> None:
    """Print the table of models, and the table of layers, which compares the first model with the last."""
    models = Table("models", MODELS, [_model(model, result) for model in result["models"]])
    console.print(rich_table(result["name"], models))
    if not result["labelled"]:
        console.print("No accuracy: no images have labels of the model's own classes. Give --data with such labels.")
    title = f"layers, {result['models'][0]['name']} and {result['models'][-1]['name']}"
    console.print(rich_table(result["name"], Table(title, LAYERS, [_layer(layer) for layer in result["layers"]])))


def show_operators(name: str, operators: dict[str, list[Operator]], top: int, console: Console) -> None:
    """Print the `top` slowest operators in each precision."""
    for precision, rows in operators.items():
        total = sum(row["ms"] for row in rows)
        cells = [
            [
                row["name"],
                f"{row['calls']:g}",
                formatting.ms(row["ms"]),
                formatting.percent(row["share"]),
                f"{row['mb']:.2f}",
            ]
            for row in rows[:top]
        ]
        title = f"{formatting.ms(total)} ms in operators, under the profiler"
        console.print(rich_table(f"{name}/{precision}", Table(title, OPERATORS, cells)))


def _model(model: ModelNumbers, result: CompressionResult) -> list[str]:
    top1 = model.get("top1")
    return [
        model["name"],
        f"{model['mb']:.3g}",
        f"{model['mb'] / result['models'][0]['mb']:.3f}",
        f"{model['zipped_mb']:.3g}",
        f"{model['parameters']:,}",
        f"{model['nonzero']:,}",
        f"{model['flops'] / 1e9:.3g}",
        formatting.NONE if top1 is None else formatting.percent_interval(wilson(top1, model["images"])),
        formatting.percent(model.get("top5")),
    ]


def _layer(layer: LayerChange) -> list[str]:
    before, after = layer["before"], layer["after"]
    return [
        layer["name"],
        f"{before['bytes'] / 1e3:.1f}",
        f"{after['bytes'] / 1e3:.1f}",
        f"{before['bytes'] / after['bytes']:.2f}",
        formatting.percent(after["sparsity"]),
        f"{after['nonzero']:,}",
        f"{before['flops'] / 1e6:.1f}",
        f"{after['flops'] / 1e6:.1f}",
        _decibels(layer["weights_noise"]),
        _decibels(layer["outputs_noise"]),
    ]


def _decibels(noise: float | None) -> str:
    """The signal-to-noise ratio in dB: `–` if it is undefined, `∞` without noise."""
    return formatting.NONE if noise is None else f"{-10 * math.log10(noise):.1f}" if noise else "∞"


def _draw(result: CompressionResult) -> Figure:
    from matplotlib.figure import Figure

    rows = result["layers"]
    figure = Figure(figsize=(WIDTH, ROW * len(rows) + FRAME), dpi=DPI, facecolor="white", layout="constrained")
    size, sparsity, flops, noise = figure.subplots(1, 4, sharey=True, width_ratios=[3, 2, 3, 2])
    _pairs(size, [layer["before"]["bytes"] / 1e3 for layer in rows], [layer["after"]["bytes"] / 1e3 for layer in rows])
    size.set_xlabel("size in KB (log)")
    _pairs(flops, [layer["before"]["flops"] / 1e6 for layer in rows], [layer["after"]["flops"] / 1e6 for layer in rows])
    flops.set_xlabel("MFLOPs per image (log)")
    sparsity.barh(range(len(rows)), [100 * layer["after"]["sparsity"] for layer in rows], 0.6, color=AFTER)
    sparsity.set(xlim=(0, 100), xlabel="zeros in %")
    values = [layer["outputs_noise"] for layer in rows]
    noise.barh(range(len(rows)), [-10 * math.log10(value) if value else 0 for value in values], 0.6, color=AFTER)
    for y, value in enumerate(values):
        if not value:
            noise.text(0.5, y, "other shape" if value is None else "unchanged", size=FONT - 2, color=INK, va="center")
    noise.set_xlabel("SQNR of outputs in dB\n(higher: closer to the original)")
    for axes in (size, sparsity, flops, noise):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0, labelsize=FONT)
        axes.grid(axis="x", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
    size.set_yticks(range(len(rows)), [layer["name"] for layer in rows])
    size.set_ylim(len(rows) - 0.4, -0.6)
    first, last = result["models"][0], result["models"][-1]
    title = (
        f"{result['name']}: {first['name']} (grey, {first['mb']:.1f} MB), {last['name']} (blue, {last['mb']:.1f} MB)"
    )
    figure.suptitle(title, x=0.012, ha="left", size=FONT + 3, color=INK)
    return figure


def _pairs(axes: Axes, before: list[float], after: list[float]) -> None:
    axes.barh(range(len(before)), before, 0.75, color=BEFORE)
    axes.barh(range(len(after)), after, 0.4, color=AFTER)
    axes.set_xscale("log")
