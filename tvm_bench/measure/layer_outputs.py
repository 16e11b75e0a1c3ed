"""Outputs of the layers of a network, to compare two versions of it on the same images."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn


def alike(before: nn.Module, after: nn.Module) -> nn.Module:
    """Returns `before`, its batch norms folded if those of `after` are folded, so that the layers can be compared."""
    if not isinstance(after, torch.fx.GraphModule):
        return before
    from torch.ao.quantization.quantize_fx import fuse_fx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fuse_fx(copy.deepcopy(before).eval())


def outputs(module: nn.Module, names: list[str], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns the outputs, float32, of the layers `names` of `module` for `images`."""
    results: dict[str, torch.Tensor] = {}

    def store(name: str, output: torch.Tensor) -> None:
        results[name] = (output.dequantize() if output.is_quantized else output).clone()  # ReLU may overwrite it

    hooks = [
        module.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: store(name, output))
        for name in names
    ]
    with torch.inference_mode():
        module(images)
    for hook in hooks:
        hook.remove()
    return results
