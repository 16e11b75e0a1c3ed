"""What compression did to a network: a table of its forms, a table and a picture of its layers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.accuracy import wilson
from ..host.files import replace_with, write_json
from . import formatting
from .table import Table, rich_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

FORMS = ("form", "file MB", "of FP32", "zipped MB", "parameters", "non-zero", "GFLOPs", "Top-1 [95 %]", "Top-5")
LAYERS = (
    *("layer", "KB\nbefore", "KB\nafter", "ratio", "sparsity", "non-zero", "MFLOPs\nbefore", "MFLOPs\nafter"),
    *("weights\nSQNR dB", "outputs\nSQNR dB"),
)
OPERATORS = ("operator", "calls", "self ms", "share", "self MB")
BEFORE, AFTER, INK, GRID = "#b5b5b5", "#2b6cb0", "#222222", "#e3e3e3"
WIDTH, ROW, FRAME, DPI, FONT = 12.0, 0.34, 1.7, 150, 9.5


def write(found: dict[str, Any], folder: Path) -> list[Path]:
    """Write `compression.json` and the picture of the layers into `folder`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data, picture = folder / "compression.json", folder / "plots" / "layers.png"
    write_json(data, found)
    with replace_with(picture) as beside:
        FigureCanvasAgg(_draw(found)).print_png(beside)
    return [data, picture]


def show(found: dict[str, Any], console: Console) -> None:
    """Print the table of forms, and that of layers, from the first form to the last."""
    forms = Table("forms", FORMS, [_form(form, found) for form in found["forms"]])
    console.print(rich_table(found["name"], forms))
    if not found["labelled"]:
        console.print("No accuracy: there are no pictures labelled with the network's own classes. Give their --data.")
    title = f"layers, {found['forms'][0]['name']} and {found['forms'][-1]['name']}"
    console.print(rich_table(found["name"], Table(title, LAYERS, [_layer(layer) for layer in found["layers"]])))


def show_operators(name: str, found: dict[str, list[dict[str, Any]]], top: int, console: Console) -> None:
    """Print the `top` slowest operators of each form."""
    for form, rows in found.items():
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
        console.print(rich_table(f"{name}/{form}", Table(title, OPERATORS, cells)))


def _form(form: dict[str, Any], found: dict[str, Any]) -> list[str]:
    top1 = form.get("top1")
    return [
        form["name"],
        f"{form['mb']:.3g}",
        f"{form['mb'] / found['forms'][0]['mb']:.3f}",
        f"{form['zipped_mb']:.3g}",
        f"{form['parameters']:,}",
        f"{form['nonzero']:,}",
        f"{form['flops'] / 1e9:.3g}",
        formatting.NONE if top1 is None else formatting.percent_interval(wilson(top1, form["images"])),
        formatting.percent(form.get("top5")),
    ]


def _layer(layer: dict[str, Any]) -> list[str]:
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
    """Signal to noise in dB: `–` where it is not defined, `∞` where there is no noise."""
    return formatting.NONE if noise is None else f"{-10 * math.log10(noise):.1f}" if noise else "∞"


def _draw(found: dict[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    rows = found["layers"]
    figure = Figure(figsize=(WIDTH, ROW * len(rows) + FRAME), dpi=DPI, facecolor="white", layout="constrained")
    size, sparsity, flops, noise = figure.subplots(1, 4, sharey=True, width_ratios=[3, 2, 3, 2])
    _pairs(size, [layer["before"]["bytes"] / 1e3 for layer in rows], [layer["after"]["bytes"] / 1e3 for layer in rows])
    size.set_xlabel("size in KB (log)")
    _pairs(flops, [layer["before"]["flops"] / 1e6 for layer in rows], [layer["after"]["flops"] / 1e6 for layer in rows])
    flops.set_xlabel("MFLOPs a picture (log)")
    sparsity.barh(range(len(rows)), [100 * layer["after"]["sparsity"] for layer in rows], 0.6, color=AFTER)
    sparsity.set(xlim=(0, 100), xlabel="zeros in %")
    shown = [layer["outputs_noise"] for layer in rows]
    noise.barh(range(len(rows)), [-10 * math.log10(value) if value else 0 for value in shown], 0.6, color=AFTER)
    for y, value in enumerate(shown):
        if not value:
            noise.text(0.5, y, "other shape" if value is None else "unchanged", size=FONT - 2, color=INK, va="center")
    noise.set_xlabel("SQNR of outputs in dB\n(longer is closer)")
    for axes in (size, sparsity, flops, noise):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0, labelsize=FONT)
        axes.grid(axis="x", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
    size.set_yticks(range(len(rows)), [layer["name"] for layer in rows])
    size.set_ylim(len(rows) - 0.4, -0.6)
    first, last = found["forms"][0], found["forms"][-1]
    title = f"{found['name']}: {first['name']} (grey, {first['mb']:.1f} MB), {last['name']} (blue, {last['mb']:.1f} MB)"
    figure.suptitle(title, x=0.012, ha="left", size=FONT + 3, color=INK)
    return figure


def _pairs(axes: Any, before: list[float], after: list[float]) -> None:
    axes.barh(range(len(before)), before, 0.75, color=BEFORE)
    axes.barh(range(len(after)), after, 0.4, color=AFTER)
    axes.set_xscale("log")
