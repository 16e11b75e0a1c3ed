"""The verb `train`: a classifier from scratch or from weights, and how good it became."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from ... import data as datasets
from ...data.dataset import Dataset
from ...models.weights import load_state_dict, save_state_dict
from ...spec.errors import UserError
from ...training import loop
from ...training.device import choose, process_group
from ...training.evaluation import accuracy
from ...training.images import split
from ...training.initial_model import begin
from ...training.options import Options, parse_stages


def run(
    model: str,
    weights: str,
    data: str,
    folder: str,
    out: str,
    stages: str | None,
    image_size: int | None,
    device: str,
    amp: bool,
    distributed: bool,
    **options: float,
) -> dict[str, object]:
    """Train from `weights`, write FP16 safetensors to `out`, read them back, and score them on the whole test set.

    `options` are fields of `Options`. Only the first of several processes writes and scores; the others return nothing.
    """
    train, test = _labelled(data, "train"), _labelled(_whole(data), "test")
    if len(train.classes) < 2 or train.classes != test.classes:
        raise UserError(f"{data}: training needs two classes or more, the same in training and test pictures.")
    chosen = Options(stages=parse_stages(stages) if stages else (), **options)
    started = begin(model, weights, train.classes, chosen.stages[-1][0] if stages else image_size, chosen.seed)
    pictures = split(train, started.spec, seed=chosen.seed)
    with process_group(device) if distributed else nullcontext():
        place = choose(device, amp=amp)
        loop.fit(started.module, *pictures, chosen, folder=Path(folder), device=device, amp=amp)
    if not place.first:
        return {}
    about = {"model": model, "spec": asdict(started.spec), "classes": train.classes, "data": data}
    save_state_dict(started.module, Path(out), about=about)
    load_state_dict(started.module, Path(out))
    started.module.to(place.device)
    top1, top5 = accuracy(started.module, started.spec, test)
    return {"outputs": [out], "weights": out, "top1": top1, "top5": top5, "images": len(test)}


def _whole(data: str) -> str:
    return "fashion-mnist:full" if data == "fashion-mnist" else data


def _labelled(data: str, split: str) -> Dataset:
    found = datasets.load(data, split)
    if found.labels is None:
        raise UserError(f"{found.name} has no labels: training needs PATH/{split}/<class>/<picture>.")
    return found
