"""The boxes that a detector of torchvision predicts, decoded from the raw outputs of its backbone and heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..spec.tensors import TensorSpec
from . import torchvision_tasks
from .torchvision_models import import_torchvision

NO_CLASSES = ("__background__", "N/A")  # what torchvision calls the scores that are of no class


def has_classes(names: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether a detector whose classes have these `names` predicts those `classes`, in the same order."""
    return [name for name in names if name not in NO_CLASSES] == list(classes)


class Decoder:
    """Decodes as the detector `name` does: its anchors, its coding of boxes, its scores.

    `outputs` are those of `torchvision_tasks.Heads`, for images of `size` (height, width).
    """

    def __init__(self, name: str, classes: Sequence[str], outputs: Sequence[TensorSpec], size: Sequence[int]):
        models = import_torchvision().models
        from torchvision.models.detection.image_list import ImageList

        self._names = [spec.name for spec in outputs]
        count = outputs[self._names.index("cls_logits")].shape[2]
        kept = [i for i, label in enumerate(classes) if label not in NO_CLASSES]
        self._columns = kept if len(classes) == count else [i + 1 for i in kept]  # the first one is the background
        self._softmax = name.startswith("ssd")
        detector: Any = torchvision_tasks.detector(models, name, count).eval()
        self.overlap: float = detector.nms_thresh
        self._coder = detector.box_coder
        image = torch.zeros(1, 3, *size)
        with torch.inference_mode():
            features = list(detector.backbone(image).values())
        (self._anchors,) = detector.anchor_generator(ImageList(image, [tuple(size)]), features)

    def __call__(self, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Boxes (images, boxes, 4) in pixels, and scores (images, boxes, classes)."""
        named = {name: torch.from_numpy(output) for name, output in zip(self._names, outputs, strict=True)}
        decode = getattr(self._coder, "decode_single", self._coder.decode)
        boxes = torch.stack([decode(codes, self._anchors) for codes in named["bbox_regression"]])
        return [boxes.numpy(), self._scores(named)[:, :, self._columns].numpy()]

    def _scores(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        logits = outputs["cls_logits"]
        if self._softmax:
            return logits.softmax(dim=-1)
        if "bbox_ctrness" in outputs:  # FCOS
            return (logits.sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()
        return logits.sigmoid()
