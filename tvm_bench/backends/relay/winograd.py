"""Winograd convolution for TVM's default schedules: 3x3, stride 1, FP32, blocked channels (NCHW16c).

TVM 0.19 has a Winograd for x86 only in NHWC, and only when AutoScheduler or MetaSchedule schedule it. F(4x4, 3x3) takes
36 multiplications for 16 outputs of one channel, where the direct convolution takes 144; its transformed weights are
four times as large (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", CVPR, arXiv:1509.09308).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tvm
from tvm import relay, te, tir, topi
from tvm.relay.op.strategy import wrap_topi_schedule, x86
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.nn.winograd_util import winograd_transform_matrices
from tvm.topi.utils import get_const_tuple, traverse_inline
from tvm.topi.x86 import conv2d_alter_op

TILE = 4  # outputs of a tile are 4 x 4
ALPHA = TILE + 2  # and its inputs 6 x 6
MAX_WEIGHTS_MB = 10.0  # transformed weights above this take longer to read than the direct convolution to compute
TAG = "conv2d_winograd_NCHWc"


def alter_layout(attrs: Any, inputs: list, types: list[relay.TensorType], out_type: Any) -> relay.Expr | None:
    """TVM's `conv2d_alter_layout` for x86, with Winograd where it pays."""
    if not pays(attrs, types):
        return conv2d_alter_op._alter_conv2d_layout(attrs, inputs, types, out_type)
    outputs, channels, *kernel = get_const_tuple(types[1].shape)
    block = get_simd_32bit_lanes()
    weight = relay.nn.contrib_conv2d_winograd_weight_transform(inputs[1], tile_size=TILE)
    weight = relay.reshape(weight, (ALPHA, ALPHA, outputs // block, block, channels))
    return relay.nn.contrib_conv2d_winograd_without_weight_transform(
        inputs[0],
        relay.transpose(weight, (0, 1, 2, 4, 3)),
        tile_size=TILE,
        padding=attrs.padding,
        channels=outputs,
        kernel_size=kernel,
        data_layout=f"NCHW{block}c",
        out_layout=f"NCHW{block}c",
    )


def pays(attrs: Any, types: list[relay.TensorType]) -> bool:
    """Whether a convolution of data and weight `types` can be a Winograd one, and is likely to be faster so."""
    data, weight = types
    if (data.dtype, attrs.data_layout, attrs.kernel_layout, attrs.groups) != ("float32", "NCHW", "OIHW", 1):
        return False
    steps = (*get_const_tuple(attrs.strides), *get_const_tuple(attrs.dilation))
    outputs, inputs, *kernel = get_const_tuple(weight.shape)
    block = get_simd_32bit_lanes()
    return (
        steps == (1, 1, 1, 1)
        and kernel == [3, 3]
        and outputs % block == inputs % block == 0
        and ALPHA * ALPHA * outputs * inputs * 4 / 1e6 <= MAX_WEIGHTS_MB
    )


def strategy(attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """TVM's strategy for Winograd on x86, and the one for blocked channels that it lacks."""
    if attrs.data_layout == "NHWC":
        return x86.conv2d_winograd_without_weight_transform_strategy_cpu(attrs, inputs, out_type, target)
    found = relay.op.OpStrategy()
    found.add_implementation(_compute, wrap_topi_schedule(_schedule), name=f"{TAG}.x86")
    return found


def _compute(attrs: Any, inputs: list[te.Tensor], out_type: Any) -> list[te.Tensor]:
    """Data (N, CI/16, H, W, 16) and weight (6, 6, CO/16, CI, 16) -> (N, CO/16, OH, OW, 16)."""
    data, weight = inputs
    top, left, bottom, right = get_const_tuple(attrs.padding)
    images, in_blocks, in_height, in_width, block = get_const_tuple(data.shape)
    out_blocks = get_const_tuple(weight.shape)[2]
    height, width = in_height + top + bottom - 2, in_width + left + right - 2
    rows, columns = -(-height // TILE), -(-width // TILE)  # of tiles
    tiles = images * rows * columns
    A, B, _ = winograd_transform_matrices(TILE, 3, data.dtype)
    y, x = te.reduce_axis((0, ALPHA), "y"), te.reduce_axis((0, ALPHA), "x")
    e, n = te.reduce_axis((0, ALPHA), "e"), te.reduce_axis((0, ALPHA), "n")
    b, c = te.reduce_axis((0, in_blocks), "b"), te.reduce_axis((0, block), "c")

    after = (rows * TILE + 2 - in_height - top, columns * TILE + 2 - in_width - left)
    padded = topi.nn.pad(data, (0, 0, top, left, 0), (0, 0, *after, 0))
    tile = te.compute(
        (in_blocks, tiles, ALPHA, ALPHA, block),
        lambda b, t, y, x, c: padded[
            t // (rows * columns), b, t // columns % rows * TILE + y, t % columns * TILE + x, c
        ],
    )
    half = te.compute(
        tile.shape, lambda b, t, e, x, c: te.sum(tile[b, t, y, x, c] * B[y, e], axis=y), name="input_half"
    )
    transformed = te.compute(
        (ALPHA, ALPHA, in_blocks, tiles, block),
        lambda e, n, b, t, c: te.sum(half[b, t, e, x, c] * B[x, n], axis=x),
        name="input_transform",
    )
    product = te.compute(
        (ALPHA, ALPHA, out_blocks, tiles, block),
        lambda e, n, o, t, k: te.sum(transformed[e, n, b, t, c] * weight[e, n, o, b * block + c, k], axis=[b, c]),
        name="product",
    )
    inverse_half = te.compute(
        (out_blocks, tiles, ALPHA, TILE, block),
        lambda o, t, e, j, k: te.sum(product[e, n, o, t, k] * A[n, j], axis=n),
        name="inverse_half",
    )
    inverse = te.compute(
        (out_blocks, tiles, TILE, TILE, block),
        lambda o, t, i, j, k: te.sum(inverse_half[o, t, e, j, k] * A[e, i], axis=e),
        name="inverse",
    )
    output = te.compute(
        (images, out_blocks, height, width, block),
        lambda s, o, h, w, k: inverse[o, (s * rows + h // TILE) * columns + w // TILE, h % TILE, w % TILE, k],
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

    # A thread transforms whole tiles: 6 x 6 vectors in, 6 x 6 out.
    e, n, b, t, c = s[transformed].op.axis
    s[transformed].reorder(b, t, e, n, c)
    at = s[transformed].fuse(b, t)
    s[transformed].parallel(at)
    _unroll_and_vectorize(s[transformed], (e, n), c)
    for stage in (s[half], s[tile]):
        stage.compute_at(s[transformed], at)
        _unroll_and_vectorize(stage, stage.op.axis[2:4], stage.op.axis[4])

    # A matrix product for each of the 36 places in a tile: some rows of its result stay in registers.
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

    # Back to 4 x 4 outputs, and whatever was fused behind the convolution.
    if not output.same_as(last):
        s[output].compute_inline()
    image, o, h, w, k = s[last].op.axis
    row, h = s[last].split(h, TILE)
    column, w = s[last].split(w, TILE)
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
