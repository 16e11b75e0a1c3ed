"""Convolutions of blocked data, as tensor expressions. A block of channels is the last axis, and fills a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm import te, tirx

BLOCK = "blocked_convolution"  # the name of the block that the schedule looks for


@dataclass(frozen=True)
class Window:
    """How the filter moves over the data: strides, dilation, and padding as top, left, bottom, right."""

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]

    def sizes(self, height: int, width: int, kernel: Sequence[int]) -> tuple[int, ...]:
        """Rows and columns of the output."""
        top, left, bottom, right = self.padding
        padded = (height + top + bottom, width + left + right)
        reach = [step * (size - 1) for step, size in zip(self.dilation, kernel, strict=True)]
        return tuple(
            (size - far - 1) // stride + 1 for size, far, stride in zip(padded, reach, self.strides, strict=True)
        )


def convolve(data: te.Tensor, weight: te.Tensor, window: Window) -> te.Tensor:
    """A convolution of all channels: (N, outputs, rows, columns, block).

    `data` is (N, inputs, H, W, block), or (N, channels, H, W) with few channels; `weight` is (outputs, inputs, rows,
    columns, block of inputs, block of outputs).
    """
    batch, _, height, width, *_ = map(int, data.shape)
    outputs, inputs, *kernel, inner, block = map(int, weight.shape)
    rows, columns = window.sizes(height, width, kernel)
    whole = padded(data, window)
    chunk, i, j, lane = (
        te.reduce_axis((0, size), name) for size, name in zip((inputs, *kernel, inner), "cijl", strict=True)
    )
    (sy, sx), (dy, dx) = window.strides, window.dilation

    def value(n: tirx.Var, o: tirx.Var, y: tirx.Var, x: tirx.Var, b: tirx.Var) -> tirx.Expr:
        place = (y * sy + i * dy, x * sx + j * dx)
        read = whole(n, chunk, *place, lane) if len(data.shape) == 5 else whole(n, chunk * inner + lane, *place)
        return te.sum(read * weight(o, chunk, i, j, lane, b), axis=[chunk, i, j, lane])

    return te.compute((batch, outputs, rows, columns, block), value, name=BLOCK)


def convolve_integers(data: te.Tensor, weight: te.Tensor, window: Window, zero: int) -> te.Tensor:
    """`convolve` of uint8 `data`, (N, inputs, H, W, block), by int8 `weight`: int32.

    `weight` is (outputs, inputs, rows, columns, quarter of a block of inputs, block of outputs, 4): an instruction adds
    up four products for each output. `zero` is the value of the padding.
    """
    batch, _, height, width, _ = map(int, data.shape)
    outputs, inputs, *kernel, fours, block, four = map(int, weight.shape)
    rows, columns = window.sizes(height, width, kernel)
    whole = padded(data, window, zero)
    chunk, i, j, quarter, lane = (
        te.reduce_axis((0, size), name) for size, name in zip((inputs, *kernel, fours, four), "cijql", strict=True)
    )
    (sy, sx), (dy, dx) = window.strides, window.dilation

    def value(n: tirx.Var, o: tirx.Var, y: tirx.Var, x: tirx.Var, b: tirx.Var) -> tirx.Expr:
        read = whole(n, chunk, y * sy + i * dy, x * sx + j * dx, quarter * four + lane)
        product = read.astype("int32") * weight(o, chunk, i, j, quarter, b, lane).astype("int32")
        return te.sum(product, axis=[chunk, i, j, quarter, lane])

    return te.compute((batch, outputs, rows, columns, block), value, name=BLOCK)


def convolve_each(data: te.Tensor, weight: te.Tensor, window: Window, zero: int = 0) -> te.Tensor:
    """A depthwise convolution of `data`, (N, channels, H, W, block), by `weight`, (channels, rows, columns, block).

    Integers are read as floats, from which `zero` is subtracted.
    """
    batch, channels, height, width, block = map(int, data.shape)
    _, *kernel, _ = map(int, weight.shape)
    rows, columns = window.sizes(height, width, kernel)
    floats = te.compute(data.shape, lambda *place: data(*place).astype(weight.dtype) - tirx.const(zero, weight.dtype))
    whole = padded(data if data.dtype == weight.dtype else floats, window)
    i, j = (te.reduce_axis((0, size), name) for size, name in zip(kernel, "ij", strict=True))
    (sy, sx), (dy, dx) = window.strides, window.dilation
    return te.compute(
        (batch, channels, rows, columns, block),
        lambda n, o, y, x, b: te.sum(
            whole(n, o, y * sy + i * dy, x * sx + j * dx, b) * weight(o, i, j, b), axis=[i, j]
        ),
        name=BLOCK,
    )


def padded(data: te.Tensor, window: Window, fill: int = 0) -> te.Tensor:
    """The data with rows and columns of the value `fill` around it."""
    if not any(window.padding):
        return data
    top, left, bottom, right = window.padding
    batch, channels, height, width, *block = map(int, data.shape)

    def value(n: tirx.Var, c: tirx.Var, y: tirx.Var, x: tirx.Var, *b: tirx.Var) -> tirx.Expr:
        inside = tirx.all(y >= top, y < height + top, x >= left, x < width + left)
        return tirx.if_then_else(inside, data(n, c, y - top, x - left, *b), tirx.const(fill, data.dtype))

    return te.compute((batch, channels, height + top + bottom, width + left + right, *block), value, name="padded")
