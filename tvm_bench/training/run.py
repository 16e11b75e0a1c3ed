"""The verb `train`: a torchvision model from scratch, and how good it became."""

from __future__ import annotations

from pathlib import Path

from .. import data as datasets
from ..data import fashion_mnist
from ..data.dataset import Dataset
from ..data.preprocess import InputSpec
from ..errors import UserError
from ..models import FASHION_SPEC, architecture
from ..models.weights import load_state_dict, save_state_dict
from . import loop
from .options import Options, parse_stages
from .pictures import split


def run(
    model: str, weights: str, data: str, folder: str, out: str, stages: str, batch_size: int, lr: float, seed: int
) -> dict[str, object]:
    """Train from `weights` (`random`, or a file), write FP16 safetensors to `out`, read them back, and score them.

    The score is on the whole test set, in FP32, at the last of the schedule's sizes.
    """
    options = Options(stages=parse_stages(stages), batch_size=batch_size, lr=lr, seed=seed)
    train, test = _labelled(data, "train"), _labelled(_whole(data), "test")
    module = architecture(model, len(train.classes))
    if weights != "random":
        load_state_dict(module, Path(weights))
    spec = (FASHION_SPEC if train.classes == fashion_mnist.CLASSES else InputSpec()).at(options.stages[-1][0])
    loop.fit(module, *split(train, spec, seed=seed), options, folder=Path(folder))
    save_state_dict(module, Path(out))
    load_state_dict(module, Path(out))
    top1, top5 = loop.accuracy(module, spec, test)
    return {"outputs": [out], "weights": out, "top1": top1, "top5": top5, "images": len(test)}


def _whole(data: str) -> str:
    return "fashion-mnist:full" if data == "fashion-mnist" else data


def _labelled(data: str, split: str) -> Dataset:
    found = datasets.load(data, split)
    if found.labels is None:
        raise UserError(f"{found.name} has no labels: training needs PATH/<class>/<picture>.")
    return found
