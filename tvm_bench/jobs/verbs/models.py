"""The verb `models`: lists the models that `--model` accepts by name."""

from __future__ import annotations

from typing import Any

from ...models import torchvision_models
from ...spec.embedded import WEIGHTS_FOLDER, WEIGHTS_SUFFIX


def run() -> dict[str, Any]:
    """Return `names`: each torchvision classifier with a note on its weights."""
    embedded = {path.name.removesuffix(WEIGHTS_SUFFIX) for path in WEIGHTS_FOLDER.glob(f"*{WEIGHTS_SUFFIX}")}

    def note(name: str) -> str:
        if name in embedded:
            return "trained on Fashion-MNIST, 10 classes, embedded"
        if name.endswith(torchvision_models.CIFAR):
            return "stem for 32x32 images; no published weights, so train it"
        return "ImageNet weights by torchvision, downloaded"

    return {"names": [(name, note(name)) for name in torchvision_models.names()]}
