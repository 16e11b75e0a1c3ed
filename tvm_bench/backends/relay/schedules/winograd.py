"""Winograd convolution for TVM's default schedules: 3x3, stride 1, FP32, blocked channels (NCHW16c).

TVM 0.19 has a Winograd for x86 only in NHWC, and only when AutoScheduler or MetaSchedule schedule it. F(4x4, 3x3) takes
36 multiplications for 16 outputs of one channel, where the direct convolution takes 144; its transformed weights are
four times as large. F(2x2, 3x3) takes 16 for 4, with weights 1.8 times as large (Lavin and Gray 2016, "Fast Algorithms
for Convolutional Neural Networks", CVPR, arXiv:1509.09308).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tvm
from tvm import relay, te, tir, topi
from tvm.relay.op.strategy import wrap_topi_schedule, x86
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.nn.winograd_util import winograd_transform_matrices
from tvm.topi.utils import get_const_tuple, traverse_inline

from . import conv_workload
from .conv_workload import Convolution

SIZES = (4, 2)  # of a tile of outputs; the first is the default
NAME = "winograd"  # before the size, in the name of the schedule
MAX_WEIGHTS_MB = 10.0  # reading larger transformed weights is likely to take longer than Winograd saves
# With fewer outputs (images x rows x columns), reading weights of any size takes longer than Winograd saves:
# ResNet-34 at 32 pixels takes 6.4 ms with Winograd everywhere, and 3.3 ms with this limit.
LEAST_OUTPUTS = 80
TAG = "conv2d_winograd_NCHWc"


def alter_layout(
    attrs: Any, inputs: list, types: list[relay.TensorType], *, schedule_of: Callable[[Convolution], str]
) -> relay.Expr | None:
    """The convolution by Winograd where `schedule_of(convolution)` is one of its tiles, else None."""
    convolution = conv_workload.of(attrs, *types)
    schedule = schedule_of(convolution) if fits(convolution) and attrs.data_layout == "NCHW" else ""
    if not schedule.startswith(NAME):
        return None
    size = int(schedule.removeprefix(NAME))
    outputs, *kernel = convolution.kernel
    block = get_simd_32bit_lanes()
    weight = relay.nn.contrib_conv2d_winograd_weight_transform(inputs[1], tile_size=size)
    weight = relay.reshape(weight, (size + 2, size + 2, outputs // block, block, convolution.data[1]))
    return relay.nn.contrib_conv2d_winograd_without_weight_transform(
        inputs[0],
        relay.transpose(weight, (0, 1, 2, 4, 3)),
        tile_size=size,
        padding=attrs.padding,
        channels=outputs,
        kernel_size=kernel,
        data_layout=f"NCHW{block}c",
        out_layout=f"NCHW{block}c",
    )


def fits(convolution: Convolution) -> bool:
    """Whether Winograd can compute this convolution."""
    outputs, *kernel = convolution.kernel
    block = get_simd_32bit_lanes()
    return (
        (convolution.dtype, convolution.groups, kernel) == ("fp32", 1, [3, 3])
        and {*convolution.strides, *convolution.dilation} == {1}
        and outputs % block == convolution.data[1] % block == 0
    )


def pays(convolution: Convolution) -> bool:
    """Whether Winograd with the larger tile is likely to be faster."""
    weights = (SIZES[0] + 2) ** 2 * convolution.kernel[0] * convolution.data[1] * 4
    height, width = convolution.out
    outputs = convolution.data[0] * height * width
    return fits(convolution) and weights / 1e6 <= MAX_WEIGHTS_MB and outputs >= LEAST_OUTPUTS


def strategy(attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """TVM's strategy for Winograd on x86, and one for blocked channels, which TVM does not have."""
    if attrs.data_layout == "NHWC":
        return x86.conv2d_winograd_without_weight_transform_strategy_cpu(attrs, inputs, out_type, target)
    result = relay.op.OpStrategy()
    result.add_implementation(_compute, wrap_topi_schedule(_schedule), name=f"{TAG}.x86")
    return result


def _compute(attrs: Any, inputs: list[te.Tensor], out_type: Any) -> list[te.Tensor]:
    """Data (N, CI/16, H, W, 16) and weight (6, 6, CO/16, CI, 16), or (4, 4, ...), -> (N, CO/16, OH, OW, 16)."""
    data, weight = inputs
    size = int(attrs.tile_size)
    span = size + 2
    top, left, bottom, right = get_const_tuple(attrs.padding)
    images, in_blocks, in_height, in_width, block = get_const_tuple(data.shape)
    out_blocks = get_const_tuple(weight.shape)[2]
    height, width = in_height + top + bottom - 2, in_width + left + right - 2
    rows, columns = -(-height // size), -(-width // size)  # of tiles
    tiles = images * rows * columns
    A, B, _ = winograd_transform_matrices(size, 3, data.dtype)
    y, x = te.reduce_axis((0, span), "y"), te.reduce_axis((0, span), "x")
    e, n = te.reduce_axis((0, span), "e"), te.reduce_axis((0, span), "n")
    b, c = te.reduce_axis((0, in_blocks), "b"), te.reduce_axis((0, block), "c")

    after = (rows * size + 2 - in_height - top, columns * size + 2 - in_width - left)
    padded = topi.nn.pad(data, (0, 0, top, left, 0), (0, 0, *after, 0))
    tile = te.compute(
        (in_blocks, tiles, span, span, block),
        lambda b, t, y, x, c: padded[
            t // (rows * columns), b, t // columns % rows * size + y, t % columns * size + x, c
        ],
    )
    half = te.compute(
        tile.shape, lambda b, t, e, x, c: te.sum(tile[b, t, y, x, c] * B[y, e], axis=y), name="input_half"
    )
    transformed = te.compute(
        (span, span, in_blocks, tiles, block),
        lambda e, n, b, t, c: te.sum(half[b, t, e, x, c] * B[x, n], axis=x),
        name="input_transform",
    )
    product = te.compute(
        (span, span, out_blocks, tiles, block),
        lambda e, n, o, t, k: te.sum(transformed[e, n, b, t, c] * weight[e, n, o, b * block + c, k], axis=[b, c]),
        name="product",
    )
    inverse_half = te.compute(
        (out_blocks, tiles, span, size, block),
        lambda o, t, e, j, k: te.sum(product[e, n, o, t, k] * A[n, j], axis=n),
        name="inverse_half",
    )
    inverse = te.compute(
        (out_blocks, tiles, size, size, block),
        lambda o, t, i, j, k: te.sum(inverse_half[o, t, e, j, k] * A[e, i], axis=e),
        name="inverse",
    )
    output = te.compute(
        (images, out_blocks, height, width, block),
        lambda s, o, h, w, k: inverse[o, (s * rows + h // size) * columns + w // size, h % size, w % size, k],
        name="winograd",
        tag=TAG,
    )
    return [output]


def _schedule(outs: list[te.Tensor]) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule_winograd(schedule, op, outs[0].op)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_winograd(s: te.Schedule, output: te.Operation, last: te.Operation) -> None:
    inverse = output.input_tensors[0]
    inverse_half, A = inverse.op.input_tensors
    product = inverse_half.op.input_tensors[0]
    transformed = product.op.input_tensors[0]
    half, B = transformed.op.input_tensors
    tile = half.op.input_tensors[0]
    for inlined in (A, B, tile.op.input_tensors[0]):
        s[inlined].compute_inline()

    # A thread transforms whole tiles, for example of 6 x 6 vectors.
    e, n, b, t, c = s[transformed].op.axis
    s[transformed].reorder(b, t, e, n, c)
    at = s[transformed].fuse(b, t)
    s[transformed].parallel(at)
    _unroll_and_vectorize(s[transformed], (e, n), c)
    for stage in (s[half], s[tile]):
        stage.compute_at(s[transformed], at)
        _unroll_and_vectorize(stage, stage.op.axis[2:4], stage.op.axis[4])

    # A matrix product for each position in a tile: some rows of its result stay in registers.
    tiles, block = get_const_tuple(product.shape)[3:]
    registers = 24 if block == 16 else 12  # of the 32 of AVX-512, the 16 of AVX2
    rows = max(count for count in range(1, registers + 1) if tiles % count == 0)
    accumulator = s.cache_write(product, "local")
    e, n, o, t, k = s[product].op.axis
    outer, inner = s[product].split(t, rows)
    s[product].parallel(s[product].fuse(e, n, o))
    _unroll_and_vectorize(s[product], (inner,), k)
    s[accumulator].compute_at(s[product], outer)
    *_, t, k = s[accumulator].op.axis
    s[accumulator].reorder(*s[accumulator].op.reduce_axis, t, k)
    s[accumulator].unroll(t)
    s[accumulator].vectorize(k)

    # Back to outputs, with the operators that are fused behind the convolution.
    if not output.same_as(last):
        s[output].compute_inline()
    image, o, h, w, k = s[last].op.axis
    size = get_const_tuple(inverse.shape)[2]
    row, h = s[last].split(h, size)
    column, w = s[last].split(w, size)
    s[last].reorder(image, o, row, column, h, w, k)
    s[last].parallel(s[last].fuse(image, o, row))
    _unroll_and_vectorize(s[last], (h, w), k)
    for stage in (s[inverse], s[inverse_half]):
        stage.compute_at(s[last], column)
        _unroll_and_vectorize(stage, stage.op.axis[2:4], stage.op.axis[4])


def _unroll_and_vectorize(stage: te.Stage, axes: Iterable[tir.IterVar], channels: tir.IterVar) -> None:
    for axis in (*axes, *getattr(stage.op, "reduce_axis", ())):
        stage.unroll(axis)
    stage.vectorize(channels)
