"""Resizes the layers of a network to fit weights of other shapes, such as those that filter pruning leaves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def shapes_of(module: nn.Module) -> dict[str, list[int]]:
    """The shape of every tensor in the state dict."""
    return {name: list(value.shape) for name, value in module.state_dict().items()}


def reshape(module: nn.Module, shapes: Mapping[str, list[int]]) -> None:
    """Resize the layers of `module`, in place, to the shapes of their tensors in `shapes`."""
    for prefix, layer in module.named_modules():
        keys = {name: f"{prefix}.{name}".lstrip(".") for name, _ in _tensors(layer)}
        for name, tensor in _tensors(layer):
            shape = shapes.get(keys[name], list(tensor.shape))
            if list(tensor.shape) != shape:
                tensor.data = torch.zeros(shape, dtype=tensor.dtype)
        _resize(layer)


def _tensors(layer: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]


def _resize(layer: nn.Module) -> None:
    """Set the layer's own numbers, such as `out_features`, to the sizes of its tensors."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        layer.num_features = layer.num_features if layer.running_mean is None else len(layer.running_mean)
    elif isinstance(layer, nn.LayerNorm) and layer.weight is not None:
        layer.normalized_shape = tuple(layer.weight.shape)
    elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        filters, inputs = layer.weight.shape[:2]
        if layer.groups == layer.in_channels:  # depthwise: one group per channel
            layer.groups = filters * layer.groups // layer.out_channels
        layer.out_channels, layer.in_channels = filters, inputs * layer.groups
