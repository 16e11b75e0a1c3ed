"""The verb `train`: trains a classifier and measures its accuracy."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import data as datasets
from ...data.dataset import Dataset
from ...models.weights import load_state_dict, save_state_dict
from ...spec.errors import UserError
from ...spec.training import TrainingRequest
from ...training import loop
from ...training.device import choose, process_group
from ...training.evaluation import accuracy
from ...training.images import split
from ...training.initial_model import begin
from ...training.options import Options, parse_stages


def run(training: dict[str, Any], folder: str, out: str) -> dict[str, Any]:
    """Train, write FP16 safetensors to `out`, read them back, and score them on the whole test set.

    `training` has the fields of a resolved `TrainingRequest`; the checkpoint is in `folder`. Of several processes, only
    the first writes and scores; the others return an empty result.
    """
    request = TrainingRequest(**training)
    train, test = _labelled(request.data, "train"), _labelled(_whole(request.data), "test")
    if len(train.classes) < 2 or train.classes != test.classes:
        raise UserError(
            f"{request.data}: training needs at least two classes, the same in training and test images. "
            "Add or rename folders, or give other --data."
        )
    options = _options(request)
    size = options.stages[-1][0] if options.stages else request.image_size
    initial = begin(request.model, request.weights, train.classes, size, options.seed)
    images = split(train, initial.images, seed=options.seed)
    with process_group(request.device) if request.distributed else nullcontext():
        place = choose(request.device, amp=request.amp)
        loop.fit(initial.module, *images, options, folder=Path(folder), device=request.device, amp=request.amp)
    if not place.first:
        return {}
    about = {"model": request.model, "spec": asdict(initial.images), "classes": train.classes, "data": request.data}
    save_state_dict(initial.module, Path(out), about=about)
    load_state_dict(initial.module, Path(out))
    initial.module.to(place.device)
    top1, top5 = accuracy(initial.module, initial.images, test)
    return {"outputs": [out], "weights": out, "top1": top1, "top5": top5, "images": len(test)}


def _options(request: TrainingRequest) -> Options:
    assert request.lr is not None, "the request is not resolved"
    return Options(
        epochs=request.epochs,
        batch_size=request.batch_size,
        lr=request.lr,
        patience=request.patience,
        seed=request.seed,
        stages=parse_stages(request.stages) if request.stages else (),
    )


def _whole(data: str) -> str:
    return "fashion-mnist:full" if data == "fashion-mnist" else data


def _labelled(data: str, split: str) -> Dataset:
    dataset = datasets.load(data, split)
    if dataset.labels is None:
        raise UserError(f"{dataset.name} has no labels. Training needs images in PATH/{split}/<class>/.")
    return dataset
