"""torchvision's networks for segmentation and detection, as static graphs.

A detector is its backbone and heads: it returns raw class scores and box offsets. The resizing before it and the
suppression of overlapping boxes after it depend on values. Faster R-CNN, Mask R-CNN and Keypoint R-CNN are not here:
their second stage takes as many boxes as the first one proposes.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import nn

from ..data.preprocess import InputSpec

SEGMENTATION_CLASSES, DETECTION_CLASSES = 21, 91  # of the published weights: Pascal VOC's and COCO's
SEGMENTATION_SPEC = InputSpec((3, 520, 520), 520)
# With the size and scaling of each detector's own transform.
DETECTORS = {
    "ssd300_vgg16": InputSpec((3, 300, 300), 300, (0.48235, 0.45882, 0.40784), (1 / 255,) * 3),
    "ssdlite320_mobilenet_v3_large": InputSpec((3, 320, 320), 320, (0.5,) * 3, (0.5,) * 3),
    "retinanet_resnet50_fpn": InputSpec((3, 800, 800), 800),
    "retinanet_resnet50_fpn_v2": InputSpec((3, 800, 800), 800),
    "fcos_resnet50_fpn": InputSpec((3, 800, 800), 800),
}


class Heads(nn.Module):
    """Backbone and heads of a detector, with the names that their weights have in it."""

    def __init__(self, detector: Any):
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Class scores and box offsets by name, (batch, boxes, …) each."""
        features = self.backbone(images)
        return self.head(list(features.values()))


def build(models: ModuleType, name: str, classes: int) -> nn.Module:
    """An untrained network; 0 `classes` are those of the published weights. A detector has one more, the background."""
    if name in DETECTORS:
        return Heads(detector(models, name, classes + 1 if classes else DETECTION_CLASSES))
    return models.get_model(name, weights=None, weights_backbone=None, num_classes=classes or SEGMENTATION_CLASSES)


def detector(models: ModuleType, name: str, scores: int) -> nn.Module:
    """torchvision's own detector, untrained, with so many `scores` for each box."""
    return models.get_model(name, weights=None, weights_backbone=None, num_classes=scores)


def is_for_task(name: str) -> bool:
    """Whether `name` is a network for segmentation or detection; torchvision's names of the first say so."""
    return name in DETECTORS or name.startswith(("deeplabv3_", "fcn_", "lraspp_"))


def spec_of(name: str) -> InputSpec:
    """The input of a network that `build` knows."""
    return DETECTORS.get(name, SEGMENTATION_SPEC)
