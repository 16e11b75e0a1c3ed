"""The history of a training, as numbers in a JSON file and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..host.files import replace_with, write_json

BLUE, ORANGE, SOFT, GRID = "#2b6cb0", "#d2691e", "#767676", "#e3e3e3"


class EpochRecord(TypedDict):
    """One epoch: numbers from 0 (`stage`) and 1 (`epoch`), pixels a side (`size`), Top-1 as 0 to 1."""

    epoch: int
    stage: int
    size: int
    loss: float
    validation_loss: float
    validation_top1: float
    seconds: float


def write(history: list[EpochRecord], folder: Path) -> None:
    """Write `history.json` and `training_history.png` (losses and validation Top-1 by epoch)."""
    write_json(folder / "history.json", history)
    with replace_with(folder / "training_history.png") as beside:
        FigureCanvasAgg(draw(history)).print_png(beside)


def draw(history: list[EpochRecord]) -> Figure:
    """Losses on the left, accuracy on the right; a vertical line marks a change of the image size."""
    figure = Figure(figsize=(9, 3.6), dpi=140, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    best = min((row for row in history if row["stage"] == history[-1]["stage"]), key=lambda row: row["validation_loss"])
    left.plot(epochs, [row["loss"] for row in history], "o-", ms=3, color=BLUE, label="training, augmented")
    left.plot(epochs, [row["validation_loss"] for row in history], "o-", ms=3, color=ORANGE, label="validation")
    left.set_ylabel("loss")
    left.legend(frameon=False)
    right.plot(epochs, [100 * row["validation_top1"] for row in history], "o-", ms=3, color=ORANGE)
    right.set_ylabel("validation Top-1, %")
    for axes in (left, right):
        axes.axvline(best["epoch"], color=SOFT, lw=0.8, ls=":")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        for before, row in zip(history, history[1:], strict=False):
            if row["size"] != before["size"]:
                axes.axvline(row["epoch"] - 0.5, color=GRID, lw=2)
                axes.text(
                    row["epoch"] - 0.45, 0.02, f"{row['size']} px", color=SOFT, transform=axes.get_xaxis_transform()
                )
    result = f"validation loss {best['validation_loss']:.3f}, Top-1 {best['validation_top1']:.1%}"
    figure.suptitle(f"best: epoch {best['epoch']}, {result}", x=0.01, ha="left", size=11)
    return figure
