"""Quantized convolutions of PyTorch by exact sums.

FBGEMM adds two products of a depthwise convolution in 16 bits, which saturate. PyTorch's x86 engine gives it those of
more than 100 groups, and others to oneDNN, whose sums are exact.
"""

from __future__ import annotations

from typing import Any

import torch

OPERATORS = ("quantized::conv2d", "quantized::conv2d_relu")


def convolution(kind: str, data: torch.Tensor, packed: Any, scale: float, zero: int) -> torch.Tensor:
    """The output of an operator in `OPERATORS`, quantized: float64 sums, which hold its integers, rounded once."""
    weight, bias = packed.unpack()
    per_channel = weight.qscheme() == torch.per_channel_affine
    scales = weight.q_per_channel_scales() if per_channel else torch.full((len(weight),), weight.q_scale())
    integers = data.int_repr().double() - data.q_zero_point()
    geometry = (packed.stride(), packed.padding(), packed.dilation(), packed.groups())
    sums = torch.nn.functional.conv2d(integers, weight.int_repr().double(), None, *geometry)
    values = sums * (scales.double() * data.q_scale()).view(1, -1, 1, 1)
    if bias is not None:
        values = values + bias.double().view(1, -1, 1, 1)
    if kind.endswith("relu"):
        values = values.clamp(min=0)
    # In float32, the quantization would round a second time.
    steps = torch.clamp(torch.round(values / scale) + zero, 0, 255).to(torch.uint8)
    return torch._make_per_tensor_quantized_tensor(steps, scale, zero)
