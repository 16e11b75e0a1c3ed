"""torchvision's classification models by name."""

from __future__ import annotations

from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators do not load (its wheel beside a CPU-only torch)."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # Its Python files ask for these two schemas while they are imported; classification never calls them.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        import_torchvision.keep = library  # type: ignore[attr-defined]  # the schemas live as long as this object
    return torchvision


def names() -> list[str]:
    """Names of all plain classification models."""
    models = import_torchvision().models
    return models.list_models(module=models)
