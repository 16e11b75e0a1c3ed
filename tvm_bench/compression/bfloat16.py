"""BF16: weights and activations in bfloat16, which has the range of FP32 and eight bits of its precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

METHOD = {"method": "cast to bfloat16", "weights": "BF16", "activations": "BF16"}


class _Bfloat16(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> Any:
        return tree_map(_cast(torch.float32), self.module(*map(_cast(torch.bfloat16), inputs)))


def _cast(dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def to_bfloat16(module: nn.Module) -> nn.Module:
    """A copy of `module` that computes in bfloat16, with float32 inputs and outputs."""
    return _Bfloat16(copy.deepcopy(module).to(torch.bfloat16)).eval()


def skeleton(module: nn.Module) -> nn.Module:
    """`module` as `to_bfloat16` leaves it, for a state dict to be assigned to: only that is in BF16."""
    return _Bfloat16(module)
