"""A network's layers made to fit weights of other shapes: what pruning of filters leaves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def shapes_of(module: nn.Module) -> dict[str, list[int]]:
    """The shape of every tensor in the state dict."""
    return {name: list(value.shape) for name, value in module.state_dict().items()}


def reshape(module: nn.Module, shapes: Mapping[str, list[int]]) -> None:
    """Give the layers of `module`, in place, the sizes that `shapes` has for their tensors."""
    for prefix, layer in module.named_modules():
        own = {name: f"{prefix}.{name}".lstrip(".") for name, _ in _tensors(layer)}
        for name, tensor in _tensors(layer):
            wanted = shapes.get(own[name], list(tensor.shape))
            if list(tensor.shape) != wanted:
                tensor.data = torch.zeros(wanted, dtype=tensor.dtype)
        _resize(layer)


def _tensors(layer: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]


def _resize(layer: nn.Module) -> None:
    """Bring the layer's own numbers in line with its tensors."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        layer.num_features = layer.num_features if layer.running_mean is None else len(layer.running_mean)
    elif isinstance(layer, nn.LayerNorm) and layer.weight is not None:
        layer.normalized_shape = tuple(layer.weight.shape)
    elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        filters, inputs = layer.weight.shape[:2]
        if layer.groups == layer.in_channels:  # depthwise: a group for each channel
            layer.groups = filters * layer.groups // layer.out_channels
        layer.out_channels, layer.in_channels = filters, inputs * layer.groups
