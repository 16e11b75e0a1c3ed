"""Blocks of channels: how values get into them and out again. The last axis is a block."""

from __future__ import annotations

import numpy as np
from tvm import te, tirx, topi

UNSIGNED = 128


def filled(array: np.ndarray, axis: int, block: int) -> np.ndarray:
    """The array with zeros at the end of an axis, so that its blocks are full."""
    pads = [(0, 0)] * array.ndim
    pads[axis] = (0, -array.shape[axis] % block)
    return np.pad(array, pads)


def weights(array: np.ndarray, inner: int, block: int) -> np.ndarray:
    """Weights (outputs, inputs, rows, columns) for `convolution.convolve`; the blocks of inputs have `inner` each."""
    array = filled(filled(array, 0, block), 1, inner)
    outputs, inputs, *kernel = array.shape
    return array.reshape(outputs // block, block, inputs // inner, inner, *kernel).transpose(0, 2, 4, 5, 3, 1)


def weights_of_dots(array: np.ndarray, inner: int, block: int, dot: int) -> np.ndarray:
    """Weights for `convolution.convolve_integers`; an instruction adds up `dot` products."""
    array = filled(filled(array, 0, block), 1, inner)
    outputs, inputs, *kernel = array.shape
    parts = array.reshape(outputs // block, block, inputs // inner, inner // dot, dot, *kernel)
    return parts.transpose(0, 2, 5, 6, 3, 1, 4)


def weights_of_each(array: np.ndarray, block: int) -> np.ndarray:
    """Weights for `convolution.convolve_each`."""
    return filled(array, 0, block).reshape(-1, block, *array.shape[2:]).transpose(0, 2, 3, 1)


def quantized(data: te.Tensor, scale: float, zero: int, dtype: str) -> te.Tensor:
    """Integers of `dtype`, ties to even. Relax's own operator divides by the scale, which takes longer."""
    low, high = tirx.min_value(dtype), tirx.max_value(dtype)

    def value(*place: tirx.Var) -> tirx.Expr:
        rounded = tirx.nearbyint(data(*place) * tirx.const(1 / scale, data.dtype)) + tirx.const(zero, data.dtype)
        return tirx.max(tirx.min(rounded, high.astype(data.dtype)), low.astype(data.dtype)).astype(dtype)

    return te.compute(data.shape, value, name="quantized")


def sigmoid(data: te.Tensor) -> te.Tensor:
    """With TVM's polynomial for the exponential: the C library's takes one value at a time."""
    one = tirx.const(1, data.dtype)
    powers = topi.fast_exp(topi.negative(data))
    return te.compute(data.shape, lambda *place: one / (one + powers(*place)), name="sigmoid")


def unsigned(data: te.Tensor) -> te.Tensor:
    """Int8 values as uint8, `UNSIGNED` higher."""
    return te.compute(
        data.shape, lambda *place: (data(*place).astype("int16") + UNSIGNED).astype("uint8"), name="unsigned"
    )


def packed(data: te.Tensor, block: int) -> te.Tensor:
    """(N, C, H, W) as (N, blocks, H, W, block), with zeros where a channel is missing."""
    batch, channels, *sizes = map(int, data.shape)

    def value(n: tirx.Var, c: tirx.Var, y: tirx.Var, x: tirx.Var, b: tirx.Var) -> tirx.Expr:
        channel = c * block + b
        if channels % block == 0:
            return data(n, channel, y, x)
        return tirx.if_then_else(channel < channels, data(n, channel, y, x), tirx.const(0, data.dtype))

    return te.compute((batch, -(-channels // block), *sizes, block), value, name="packed")


def unpacked(data: te.Tensor, channels: int) -> te.Tensor:
    """The inverse of `packed` for the first `channels`."""
    batch, _, *sizes, block = map(int, data.shape)
    return te.compute(
        (batch, channels, *sizes), lambda n, c, y, x: data(n, c // block, y, x, c % block), name="unpacked"
    )
