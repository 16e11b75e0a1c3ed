"""Weights of the layers of a network: of layers that are plain, fused with the next ones, or quantized."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def weight(layer: nn.Module) -> torch.Tensor:
    """The weights as float32."""
    stored = stored_weight(layer)
    return stored.dequantize() if stored.is_quantized else stored.float()


def stored_weight(layer: nn.Module) -> torch.Tensor:
    """The weights as the layer has them."""
    stored = _tensor(layer, "weight")
    assert stored is not None, f"{type(layer).__name__} has no weights"
    return stored.detach()


def bias(layer: nn.Module) -> torch.Tensor | None:
    """The bias; None for a layer without."""
    return _tensor(layer, "bias")


def _tensor(layer: nn.Module, name: str) -> torch.Tensor | None:
    """A parameter of a layer, which is a method in quantized layers; of a fused layer, that of its first part."""
    value: Any = getattr(layer[0] if isinstance(layer, nn.Sequential) else layer, name)
    return value() if not isinstance(value, torch.Tensor) and callable(value) else value
