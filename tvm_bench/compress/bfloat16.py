"""BF16: weights and activations in bfloat16, which has the range of FP32 and eight bits of its precision."""

from __future__ import annotations

import copy

import torch
from torch import nn

METHOD = {"method": "cast to bfloat16", "weights": "BF16", "activations": "BF16"}


class _Bfloat16(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.module(images.to(torch.bfloat16)).float()


def to_bfloat16(module: nn.Module) -> nn.Module:
    """A copy of `module` that computes in bfloat16, with float32 inputs and outputs."""
    return _Bfloat16(copy.deepcopy(module).to(torch.bfloat16)).eval()


def skeleton(module: nn.Module) -> nn.Module:
    """`module` as `to_bfloat16` leaves it, for a state dict to be assigned to: only that is in BF16."""
    return _Bfloat16(module)
