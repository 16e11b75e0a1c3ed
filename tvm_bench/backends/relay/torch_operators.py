"""PyTorch's quantized operators: their float versions, and the grids of their outputs. TorchScript's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Grid = tuple[float, int]  # scale and zero point
BYTE = 255  # the largest value of a byte


@dataclass(frozen=True)
class Float:
    """The float version of a quantized operator.

    `inputs` has the positions of its inputs among those of the quantized one; a tuple holds a constant. `scale` is the
    position of the output's scale, directly before its zero point. `relu`: ReLU follows.
    """

    name: str
    inputs: tuple[int | tuple[Any], ...]
    scale: int
    relu: bool = False


BATCH_NORM: tuple[int | tuple[Any], ...] = (0, 1, 2, 3, 4, (False,), (0.0,), 5, (False,))
INSTANCE_NORM: tuple[int | tuple[Any], ...] = (0, 1, 2, (None,), (None,), (True,), (0.0,), 3, (False,))
FLOATS = {
    "quantized::batch_norm2d": Float("aten::batch_norm", BATCH_NORM, 6),
    "quantized::batch_norm2d_relu": Float("aten::batch_norm", BATCH_NORM, 6, relu=True),
    "quantized::layer_norm": Float("aten::layer_norm", (0, 1, 2, 3, 4, (False,)), 5),
    "quantized::group_norm": Float("aten::group_norm", (0, 1, 2, 3, 4, (False,)), 5),
    "quantized::instance_norm": Float("aten::instance_norm", INSTANCE_NORM, 4),
    "quantized::leaky_relu": Float("aten::leaky_relu", (0, 1), 3),
    "quantized::elu": Float("aten::elu", (0, 3, 4, 5), 1),
    "quantized::prelu": Float("aten::prelu", (0, 1), 2),
    "quantized::softmax": Float("aten::softmax", (0, 1, (None,)), 2),
    "quantized::matmul": Float("aten::matmul", (0, 1), 2),
    "quantized::mul": Float("aten::mul", (0, 1), 2),
    "quantized::mul_relu": Float("aten::mul", (0, 1), 2, relu=True),
    "quantized::hardswish": Float("aten::hardswish", (0,), 1),
    "quantized::sigmoid": Float("aten::sigmoid", (0,), 1),
}

# With a number as their second input, PyTorch derives the grid of the output.
SCALARS = {
    **dict.fromkeys(("quantized::add", "quantized::add_scalar", "quantized::add_relu"), "aten::add"),
    **dict.fromkeys(("quantized::mul", "quantized::mul_scalar", "quantized::mul_relu"), "aten::mul"),
}

# PyTorch fixes the grid of the output.
FIXED: dict[str, Grid] = {
    "aten::sigmoid": (1 / 256, 0),
    "aten::hardsigmoid": (1 / 256, 0),
    "aten::tanh": (2 / 256, 128),
}

# A lower and an upper limit; None: they are inputs.
LIMITED = {"aten::hardtanh": None, "aten::relu6": (0.0, 6.0), "quantized::relu6": (0.0, 6.0)}

# Relay converts these rightly; the position of the output's scale.
RIGHT = {
    "aten::quantize_per_tensor": 1,
    **dict.fromkeys(("quantized::conv2d", "quantized::conv2d_relu", "quantized::conv_transpose2d"), 2),
    **dict.fromkeys(("quantized::linear", "quantized::linear_relu"), 2),
    **dict.fromkeys(("quantized::add", "quantized::add_relu", "quantized::cat"), 2),
}

JOINS = {"aten::cat", "aten::stack"}  # of tensors in a list

# Relay converts these rightly, as operators on bytes; the output has the grid of the input.
ON_BYTES = {
    *("aten::reshape", "aten::view", "aten::flatten", "aten::unflatten", "aten::squeeze", "aten::unsqueeze"),
    *("aten::permute", "aten::transpose", "aten::contiguous", "aten::clone", "aten::detach", "aten::dropout"),
    *("aten::slice", "aten::select", "aten::narrow", "aten::chunk", "aten::split", "aten::split_with_sizes"),
    *("aten::expand", "aten::max_pool2d", "aten::adaptive_avg_pool2d", "aten::channel_shuffle"),
    *("aten::pixel_shuffle", "prim::ListUnpack", "prim::ListConstruct"),
}


def sum_grid(grid: Grid, number: float) -> Grid:
    """PyTorch's grid of a quantized tensor plus a number (ATen's qadd.cpp)."""
    scale, zero = grid
    zero -= round(number / scale)
    if zero < 0:
        return (BYTE - zero) / BYTE * scale, 0
    return (zero / BYTE * scale, BYTE) if zero > BYTE else (scale, zero)


def product_grid(grid: Grid, number: float) -> Grid:
    """PyTorch's grid of a quantized tensor times a number (ATen's qmul.cpp)."""
    scale, zero = grid
    if not number:
        return 1.0, 0
    return abs(number) * scale, zero if number > 0 else BYTE - zero


def byte_of(value: float, grid: Grid) -> int:
    """The byte that `value` is quantized to."""
    scale, zero = grid
    return min(max(round(value / scale) + zero, 0), BYTE)
