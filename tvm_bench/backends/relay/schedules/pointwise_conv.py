"""FP32 convolutions of one pixel (1x1) for CPUs with few registers: an odd number of pixels, as if in one row.

The sums of two blocks of channels x 6 pixels fit the 16 registers of AVX2, but 7, 9 or 13 rows and columns have no
such tile. In one row, the last tile computes some pixels twice. A task keeps its outputs in the L1 cache until the
operators behind the convolution read them.
"""

from __future__ import annotations

from math import prod
from typing import Any

from tvm import te, tir
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple

from .conv_workload import Convolution
from .register_tile import LEAST_TASKS, Tile

TAG = "pointwise_conv2d_NCHWc"
L1_BYTES = 16 * 1024  # of 32, for the outputs of a task


def fits(convolution: Convolution) -> bool:
    """Whether this schedule can compute the convolution, and is likely to be the fastest on the current target."""
    return (
        convolution.dtype == "fp32"
        and convolution.groups == 1
        and set(convolution.kernel[1:]) == {1}
        and not any(convolution.padding)
        and prod(convolution.out) % 2 == 1
        and get_simd_32bit_lanes() == 8
    )


def compute(data: te.Tensor, kernel: te.Tensor, strides: Any, *_: Any, tile: Tile) -> te.Tensor:
    """Data (N, CI/8, H, W, 8), kernel (CO/8, CI/8, 1, 1, 8, 8); the result is NCHW8c."""
    images, in_blocks, *size, in_block = get_const_tuple(data.shape)
    blocks, *_, block = get_const_tuple(kernel.shape)
    height, width = ((pixels - 1) // stride + 1 for pixels, stride in zip(size, strides, strict=True))
    rows = _rows_per_task(images * blocks // tile[0], height, 4 * tile[0] * width * block)
    pixels, together = rows * width, prod(tile[1:])
    c, i = te.reduce_axis((0, in_blocks), "c"), te.reduce_axis((0, in_block), "i")

    def summed(n: tir.Var, o: tir.Var, part: tir.Var, p: tir.Var, k: tir.Var) -> tir.PrimExpr:
        pixel = part * pixels + tir.min(p, pixels - 1)
        read = data[n, c, pixel // width * strides[0], pixel % width * strides[1], i]
        return te.sum(read * kernel[o, c, 0, 0, i, k], axis=[c, i])

    shape = (images, blocks, height // rows, -(-pixels // together) * together, block)
    sums = te.compute(shape, summed, name="sums")
    return te.compute(
        (images, blocks, height, width, block),
        lambda n, o, h, w, k: sums[n, o, h // rows, h % rows * width + w, k],
        name="pointwise",
        tag=TAG,
    )


def schedule(s: te.Schedule, convolution: te.Operation, last: te.Operation, tile: Tile) -> None:
    """The schedule of a fused function with such a convolution."""
    (sums,) = convolution.input_tensors
    accumulator = s.cache_write(sums, "local")
    if not convolution.same_as(last):
        s[convolution].compute_inline()
    image, o, h, w, k = s[last].op.axis
    outer, o = s[last].split(o, tile[0])
    part, h = s[last].split(h, get_const_tuple(convolution.output(0).shape)[2] // get_const_tuple(sums.shape)[2])
    s[last].reorder(image, outer, part, o, h, w, k)
    task = s[last].fuse(image, outer, part)
    s[last].parallel(task)
    s[last].vectorize(k)
    s[sums].compute_at(s[last], task)
    n, o, part, p, k = s[sums].op.axis
    place, p = s[sums].split(p, prod(tile[1:]))
    s[sums].reorder(n, part, place, p, o, k)
    s[sums].vectorize(k)
    for axis in (p, o):
        s[sums].unroll(axis)
    s[accumulator].compute_at(s[sums], place)
    _, o, _, p, k = s[accumulator].op.axis
    c, i = s[accumulator].op.reduce_axis
    s[accumulator].reorder(c, i, p, o, k)
    s[accumulator].vectorize(k)
    for axis in (p, o):
        s[accumulator].unroll(axis)


def _rows_per_task(others: int, height: int, row_bytes: int) -> int:
    """As many rows as the L1 cache holds outputs of, if there are tasks enough; `others` tasks have other channels."""
    fitting = [
        rows
        for rows in range(1, height + 1)
        if height % rows == 0 and rows * row_bytes <= L1_BYTES and others * height // rows >= LEAST_TASKS
    ]
    return max(fitting, default=1)
