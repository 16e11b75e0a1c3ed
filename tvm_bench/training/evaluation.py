"""How good a network is on pictures that it did not learn from. Always in FP32."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..data.dataset import Dataset
from ..data.preprocess import InputSpec
from ..measure.metrics import scores
from .device import Device, mean_over_processes
from .pictures import Pictures


def evaluate(
    model: nn.Module, pictures: Pictures, device: Device | None = None, batch: int = 128
) -> tuple[float, float]:
    """Mean cross-entropy and Top-1 accuracy (0 to 1) of `model`, which is on `device` (None: the CPU), in FP32."""
    device = device or Device(torch.device("cpu"))
    model.eval()
    mine = np.arange(len(pictures))[device.rank :: device.world]
    parts = [mine[start : start + batch] for start in range(0, len(mine), batch)]
    sums = torch.zeros(3, dtype=torch.float64, device=device.torch)
    with torch.inference_mode():
        for images, labels in pictures.batches(parts, 0, device.workers):
            logits = model(images.to(device.torch, memory_format=torch.channels_last))
            labels = labels.to(device.torch)
            sums[0] += F.cross_entropy(logits, labels, reduction="sum")
            sums[1] += (logits.argmax(1) == labels).sum()
            sums[2] += len(labels)
    loss, right, count = mean_over_processes(sums, device).tolist()
    return loss / count, right / count


def accuracy(model: nn.Module, spec: InputSpec, data: Dataset, batch: int = 128) -> tuple[float, float]:
    """Top-1 and Top-5 (0 to 1) on all of `data`, in FP32, on the device that `model` is on."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        batches = (torch.from_numpy(images).to(device) for images in data.batches(spec, batch))
        logits = np.concatenate([model(images).cpu().numpy() for images in batches])
    found = scores(logits[: len(data)], data.labels)
    return found["top1"], found["top5"]
