"""The initial model of a training: it has as many outputs as the data has classes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ..models import Model, class_count, resolve, spec_for
from ..models.torchvision_models import architecture, imagenet_state
from ..models.weights import check_finite, fill, read
from ..spec.errors import UserError


def begin(name: str, weights: str, classes: tuple[str, ...], size: int | None, seed: int) -> Model:
    """The model `name` with initial `weights`, for images of `size` x `size` pixels (None: the model's own size).

    `weights` is `random` (drawn with `seed`), `imagenet`, or the path of a state dict. If the number of classes
    differs, the last layer is re-initialised, and a line on stderr says so. Raises `UserError` for a model with a
    wrong number of outputs.
    """
    if ":" in name:
        model = replace(resolve(name, weights, classes=classes), classes=classes)
    else:
        module = architecture(name, len(classes), seed)
        if weights != "random":
            state = imagenet_state(name) if weights == "imagenet" else read(Path(weights))
            if fill(module, state, f"the weights '{weights}'", new_head=True):
                print(f"{name}: the last layer is re-initialised for {len(classes)} classes", file=sys.stderr)
        check_finite(module, f"{name} with weights '{weights}'")
        model = Model(module, spec_for(name, classes), classes)
    model = replace(model, spec=model.images.at(size)) if size else model
    count = class_count(model.module, model.images.shape)
    if count != len(classes):
        raise UserError(
            f"model '{name}' has {count} outputs and the data {len(classes)} classes ({', '.join(classes[:5])}…). "
            "Give a model with as many outputs, or other --data."
        )
    return model
