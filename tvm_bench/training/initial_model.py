"""Where a training begins: a network with as many outputs as the data has classes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ..models import Model, outputs, resolve, spec_for
from ..models.torchvision_models import architecture, imagenet_state
from ..models.weights import check_finite, fill, read
from ..spec.errors import UserError


def begin(name: str, weights: str, classes: tuple[str, ...], size: int | None, seed: int) -> Model:
    """The model `name` to be trained at `size` x `size` pixels (None: its own), from `weights`.

    `weights` is `random` (by `seed`), `imagenet`, or a state dict. A last layer for another number of classes begins
    anew, and a line says so. Raises `UserError` where the outputs are not as many as the classes.
    """
    if ":" in name:
        found = resolve(name, weights, classes=classes)
        model = replace(found, classes=classes)
    else:
        module = architecture(name, len(classes), seed)
        if weights != "random":
            state = imagenet_state(name) if weights == "imagenet" else read(Path(weights))
            if fill(module, state, f"the weights '{weights}'", new_head=True):
                print(f"{name}: the last layer begins anew, for {len(classes)} classes", file=sys.stderr)
        check_finite(module, f"{name} with weights '{weights}'")
        model = Model(module, spec_for(name, classes), classes)
    model = replace(model, spec=model.spec.at(size)) if size else model
    count = outputs(model.module, model.spec.shape)
    if count != len(classes):
        raise UserError(
            f"model '{name}' has {count} outputs and the data {len(classes)} classes ({', '.join(classes[:5])}…). "
            "Give a model with as many outputs, or other --data."
        )
    return model
