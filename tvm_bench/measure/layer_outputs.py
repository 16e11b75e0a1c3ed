"""What the layers of two versions of a network answer to the same images."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn


def alike(before: nn.Module, after: nn.Module) -> nn.Module:
    """`before`, its batch norms folded where quantization folded those of `after`: then each layer can be compared."""
    if not isinstance(after, torch.fx.GraphModule):
        return before
    from torch.ao.quantization.quantize_fx import fuse_fx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fuse_fx(copy.deepcopy(before).eval())


def outputs(module: nn.Module, names: list[str], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the layers `names` of `module` answer to `images`, float32."""
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        kept[name] = (output.dequantize() if output.is_quantized else output).clone()  # ReLU may write over it

    hooks = [
        module.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name in names
    ]
    with torch.inference_mode():
        module(images)
    for hook in hooks:
        hook.remove()
    return kept
