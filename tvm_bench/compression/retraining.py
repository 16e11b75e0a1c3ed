"""Training inside compression: after pruning, for distillation, and with fake quantization."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from torch import nn

from .. import data as datasets
from ..data.preprocess import InputSpec
from ..spec.errors import UserError
from ..spec.recipe import Settings
from ..training import loop
from ..training.images import split
from ..training.options import Options
from .unstructured import zeros_kept

Train = Callable[[nn.Module], None]  # in place
# Default learning rates: low for a trained model, high for random weights.
LEARNING_RATES = {"distill": 0.02, "distill-scratch": 0.1, "prune": 0.01, "qat": 0.001}


def retrainer(
    data: str | None,
    spec: InputSpec,
    classes: int,
    settings: Settings,
    folder: Path,
    *,
    names: tuple[str, ...],
    purpose: str,
    loss: loop.Loss = loop.cross_entropy,
    about: str = "",
    amp: bool = True,
) -> Train:
    """A function that trains a module in place and keeps its zeros. Each call is an iteration, in its own folder.

    `names` are the names of the model's `classes`, empty if unknown. `purpose` is a key of `LEARNING_RATES`. With 0
    epochs the function does nothing. Raises `UserError` for data without labels, or with other classes.
    """
    if not settings.epochs:
        return lambda module: None
    if not data:
        raise UserError(
            "this recipe trains the model: give --data fashion-mnist or imagefolder:PATH, or --epochs 0 to only prune."
        )
    images = datasets.load(data, "train")
    if images.labels is None or len(images.classes) != classes:
        raise UserError(
            f"the model has {classes} classes, but {data} has {len(images.classes)}. "
            "Give the --data that the model was trained on, or --epochs 0 to only prune."
        )
    if names and names != images.classes:
        raise UserError(
            f"class mismatch: the model was trained on {', '.join(names[:4])}, …; {data} has "
            f"{', '.join(images.classes[:4])}, …. Give --data with the classes of the model, or --weights trained on "
            "this data."
        )
    options = Options(
        settings.epochs, settings.batch_size, lr=settings.lr or LEARNING_RATES[purpose], seed=settings.seed
    )
    train, validation = split(images, spec, seed=options.seed)
    iterations = itertools.count(1)

    def run(module: nn.Module) -> None:
        loop.fit(
            module,
            train,
            validation,
            options,
            loss=loss,
            after_step=zeros_kept(module),
            folder=folder / f"iteration-{next(iterations)}",
            about=about,
            amp=amp,
        )

    return run
