"""Loss and accuracy of a model on images that it was not trained on. Always in FP32."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..data.dataset import Dataset
from ..data.preprocess import InputSpec
from ..measure.metrics import scores
from .device import Device, mean_over_processes
from .images import LabelledImages


def evaluate(
    model: nn.Module, images: LabelledImages, device: Device | None = None, batch: int = 128
) -> tuple[float, float]:
    """Mean cross-entropy and Top-1 accuracy (0 to 1) of `model`, which must be on `device` (None: the CPU)."""
    device = device or Device(torch.device("cpu"))
    model.eval()
    own = np.arange(len(images))[device.rank :: device.world]
    parts = [own[start : start + batch] for start in range(0, len(own), batch)]
    sums = torch.zeros(3, dtype=torch.float64, device=device.device)
    with torch.inference_mode():
        for inputs, labels in images.batches(parts, 0, device.workers):
            logits = model(inputs.to(device.device, memory_format=torch.channels_last))
            labels = labels.to(device.device)
            sums[0] += F.cross_entropy(logits, labels, reduction="sum")
            sums[1] += (logits.argmax(1) == labels).sum()
            sums[2] += len(labels)
    loss, right, count = mean_over_processes(sums, device).tolist()
    return loss / count, right / count


def accuracy(model: nn.Module, spec: InputSpec, data: Dataset, batch: int = 128) -> tuple[float, float]:
    """Top-1 and Top-5 (0 to 1) on all of `data`, on the device of `model`. Raises `UserError` without labels."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        batches = (torch.from_numpy(images).to(device) for images in data.batches(spec, batch))
        logits = np.concatenate([model(images).cpu().numpy() for images in batches])
    result = scores(logits[: len(data)], data.required_labels())
    return float(result["top1"]), float(result["top5"])
