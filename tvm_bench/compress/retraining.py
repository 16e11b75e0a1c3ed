"""Training as a part of compression: after pruning, for distillation, and with fake quantization."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from .. import data as datasets
from ..data.preprocess import InputSpec
from ..spec.errors import UserError
from ..training import loop
from ..training.images import split
from ..training.options import Options
from .unstructured import zeros_kept

# Learning rates where none is given: what was trained is changed little, what is new has all to learn.
RATES = {"distill": 0.02, "distill-scratch": 0.1, "prune": 0.01, "qat": 0.001}


def retrainer(
    data: str | None,
    spec: InputSpec,
    classes: int,
    settings: dict[str, Any],
    folder: Path,
    *,
    names: tuple[str, ...],
    rate: str,
    loss: loop.Loss = loop.cross_entropy,
    about: str = "",
    amp: bool = True,
) -> Callable[[nn.Module], None]:
    """A function that trains a module in place, zeros kept; a second call is a second round, in a folder of its own.

    `rate` is a key of `RATES`. With 0 epochs it does nothing. Raises `UserError` where there are no labels, or not
    those of the network.
    """
    if not settings["epochs"]:
        return lambda module: None
    if not data:
        raise UserError(
            "this recipe trains: give --data fashion-mnist or imagefolder:PATH, or --epochs 0 to only prune."
        )
    pictures = datasets.load(data, "train")
    if pictures.labels is None or len(pictures.classes) != classes:
        raise UserError(
            f"the network has {classes} classes, and {data} has {len(pictures.classes)}: it cannot be trained on them. "
            "Give the --data that the network is for, or --epochs 0 to only prune."
        )
    if names and names != pictures.classes:
        raise UserError(
            f"the network knows {', '.join(names[:4])}, …, and {data} has {', '.join(pictures.classes[:4])}, …: "
            "trained on them it would forget. Give the --data that the network is for, or --weights trained on these."
        )
    options = Options(
        settings["epochs"], settings["batch_size"], lr=settings["lr"] or RATES[rate], seed=settings["seed"]
    )
    train, validation = split(pictures, spec, seed=options.seed)
    rounds = iter(range(1, 1000))

    def run(module: nn.Module) -> None:
        loop.fit(
            module,
            train,
            validation,
            options,
            loss=loss,
            after_step=zeros_kept(module),
            folder=folder / f"round-{next(rounds)}",
            about=about,
            amp=amp,
        )

    return run
