"""Winograd's weights: a library stores small ones transformed, and large ones as they are.

Transformed, they are four times as large, and a kernel with few tiles waits for memory while it reads them. So the
kernel transforms large ones itself: in registers if those hold the sums of all tiles, else for some filters and a chunk
of input channels (winograd_chunks.py), else for some filters and a row of the tile, which stay in the L2 cache. A
vector of transformed weights takes about ten instructions by rows, and four if a whole tile is transformed at once.

This is for FP32. INT8 has its own weights (winograd_int8.py), and stores large ones as they are only for chunks.
"""

from __future__ import annotations

import numpy as np
from tvm import relay, te, tir
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import const_matrix, get_const_tuple

from . import winograd_matrices

KERNEL = 3
LARGE = 1_000_000  # bytes, transformed


def stored(weight: relay.Expr, shape: tuple[int, ...], size: int, block: int) -> relay.Expr:
    """Weights of this `shape` (CO, CI, 3, 3) for tiles of `size` 4, as a library stores them for a `block` of 16.

    Large ones are (CO/16, CI, 3, 3, 16), others transformed: (6, 6, CO/16, CI, 16), with 4 in place of 6 for a `size`
    of 2.
    """
    outputs, inputs, *_ = shape
    span = size + KERNEL - 1
    weight = relay.multiply(weight, relay.const(winograd_matrices.OF[size].factor))
    if 4 * span * span * outputs * inputs > LARGE:
        return relay.transpose(relay.reshape(weight, (outputs // block, block, *shape[1:])), (0, 2, 3, 4, 1))
    G = relay.const(winograd_matrices.OF[size].all_of_weights.T.astype(np.float32))
    weight = relay.einsum((G, weight, G), "ea,oiab,nb->enoi")
    weight = relay.reshape(weight, (span, span, outputs // block, block, inputs))
    return relay.transpose(weight, (0, 1, 2, 4, 3))


def are_transformed(weight: te.Tensor) -> bool:
    """Whether the library stores them transformed."""
    return get_const_tuple(weight.shape)[2:4] != (KERNEL, KERNEL)


def of_tile(weight: te.Tensor, size: int, dtype: str) -> te.Tensor:
    """(CO/8, CI, 3, 3, 8) -> (CO/8, CI, 6, 6, 8) for tiles of `size` 4: that of each filter and channel at once.

    In INT8, (CO/16, CI/2, 3, 3, 16, 2) -> (CO/16, CI/2, 6, 6, 16, 2), with `dtype` int16.
    """
    matrices = winograd_matrices.OF[size]
    if weight.dtype != dtype:
        whole = weight
        weight = te.compute(weight.shape, lambda *place: whole(*place).astype(dtype), name=winograd_matrices.STEP)
    for axis in (2, 3):
        for matrix in (matrices.weights, matrices.pairs):
            weight = winograd_matrices.times(weight, axis, matrix)
    return te.compute(weight.shape, lambda *place: weight(*place), name="weight_transform")


def schedule_tiles(s: te.Schedule, transformed: te.Tensor, consumer: te.Stage, axis: tir.IterVar) -> None:
    """Transform them `of_tile` at this axis of the consumer, with few values in registers at a time."""
    s[transformed].compute_at(consumer, axis)
    _, c, e, n, k, *pair = s[transformed].op.axis
    if pair:
        place, k = s[transformed].split(k, get_simd_32bit_lanes())
        s[transformed].reorder(c, place, e, n, k, *pair)
    else:
        place = c
    stages, _ = winograd_matrices.steps(s, transformed.op.input_tensors[0])
    for number, stage in enumerate(stages):
        stage.compute_at(s[transformed], e if number < 2 else place)
        _, _, *tile = stage.op.axis[:4]
        winograd_matrices.unroll_and_vectorize(stage, tile, _fused(stage, *stage.op.axis[4:]))
    winograd_matrices.unroll_and_vectorize(s[transformed], (e, n), _fused(s[transformed], k, *pair))


def _fused(stage: te.Stage, k: tir.IterVar, *pair: tir.IterVar) -> tir.IterVar:
    return stage.fuse(k, *pair) if pair else k


def transformed(weight: te.Tensor, size: int) -> te.Tensor:
    """(CO/16, CI, 3, 3, 16) -> (6, 6, CO/16, CI, 16) for tiles of `size` 4."""
    outputs, inputs, *_, block = get_const_tuple(weight.shape)
    span = size + KERNEL - 1
    matrices = winograd_matrices.OF[size]
    G = const_matrix(matrices.all_of_weights.T.astype(weight.dtype))
    rows = te.compute(G.shape, lambda e, y: G[e, y], name="weight_rows")
    y = te.reduce_axis((0, KERNEL), "y")
    half = te.compute(
        (outputs, inputs, span, KERNEL, block),
        lambda o, c, e, x, k: te.sum(weight[o, c, y, x, k] * rows[e, y], axis=y),
        name="weight_half",
    )
    whole = winograd_matrices.times(winograd_matrices.times(half, 3, matrices.weights), 3, matrices.pairs)
    return te.compute(
        (span, span, outputs, inputs, block), lambda e, n, o, c, k: whole[o, c, e, n, k], name="weight_transform"
    )


def schedule(s: te.Schedule, transformed: te.Tensor, consumer: te.Stage, axis: tir.IterVar) -> None:
    """Transform them at this axis of the consumer, for a row of the tile."""
    before, half = winograd_matrices.steps(s, transformed.op.input_tensors[0])
    rows = half.op.input_tensors[1]
    s[rows.op.input_tensors[0]].compute_inline()
    for loop in s[rows].op.axis:  # a table, since the row is known at run time only
        s[rows].unroll(loop)
    *_, n, o, c, k = s[transformed].op.axis
    s[transformed].reorder(o, c, n, k)
    s[transformed].compute_at(consumer, axis)
    s[transformed].unroll(n)
    s[transformed].vectorize(k)
    for stage in (*before, s[half]):
        stage.compute_at(s[transformed], c)
        *_, row, column, lanes = stage.op.axis
        winograd_matrices.unroll_and_vectorize(stage, (row, column), lanes)
