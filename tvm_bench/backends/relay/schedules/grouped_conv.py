"""Grouped convolutions of blocked channels (NCHW16c), FP32 and INT8 (u8 x s8 -> s32); depthwise ones are elsewhere.

TVM 0.19 computes them in NCHW, with a transform of the layout before and after. Here a register tile is summed as in
direct_conv.py. Its vectors have 16 or 8 output channels of one group; the blocks of the tensors may have more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import gcd
from typing import Any

import numpy as np
from tvm import relay, te, tir, topi
from tvm.relay.op.strategy import wrap_compute_conv2d, wrap_topi_schedule
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple, traverse_inline

from . import conv_workload, int8_dot, int8_products, register_tile
from .conv_workload import Convolution
from .register_tile import HALF_BLOCK, Tile

TAG = "grouped_conv2d_NCHWc"
MOST_MERGED = 8  # groups: with more, most multiplications would be by zero


def merge(attrs: Any, inputs: list[relay.Expr], types: list[relay.TensorType]) -> relay.Expr | None:
    """The convolution with neighbouring groups merged until they have 8 output channels; None if that is not possible.

    The weights between channels of different groups are zero. Two groups of 4 channels take as long as one of 8.
    """
    convolution = conv_workload.of(attrs, *types[:2])
    count = _merged(convolution)
    if count == 1 or attrs.data_layout != "NCHW" or attrs.kernel_layout != "OIHW":
        return None
    groups = convolution.groups // count
    inside, outside = convolution.data[1] // convolution.groups, convolution.kernel[0] // convolution.groups
    rows, columns = np.arange(convolution.kernel[0])[:, None], np.arange(count * inside)[None]
    same = rows // outside % count == columns // inside
    dtype = types[1].dtype
    weight = relay.tile(inputs[1], (1, count, 1, 1)) * relay.const(same[..., None, None].astype(dtype))
    return relay.nn.conv2d(inputs[0], weight, **{**attrs, "groups": groups})


def alter_layout(
    attrs: Any, inputs: list, types: list[relay.TensorType], *, schedule_of: Callable[[Convolution], str]
) -> relay.Expr | None:
    """The grouped convolution in blocks of channels where `schedule_of(convolution)` is a tile, else None."""
    convolution = conv_workload.of(attrs, *types)
    if attrs.data_layout != "NCHW" or not fits(convolution) or not register_tile.parsed(schedule_of(convolution)):
        return None
    if convolution.dtype == "int8" and types[0].dtype != "uint8":
        return None
    lanes, chunk = _lanes(convolution), _chunk(convolution)
    data, weights = inputs
    layout = f"OIHW{chunk}i{lanes}o"
    if convolution.dtype == "int8":
        weights, word = int8_products.weights_for(weights)
        layout = f"OIHW{chunk // word}i{lanes}o{word}i"
    changed = {
        "data_layout": f"NCHW{_in_block(convolution)}c",
        "kernel_layout": layout,
        "out_layout": f"NCHW{_out_block(convolution)}c",
        "channels": convolution.kernel[0],
    }
    return relay.nn.contrib_conv2d_nchwc(data, weights, **{**attrs, **changed})


def fits(convolution: Convolution) -> bool:
    """Whether this schedule can compute the convolution on the current target."""
    if convolution.groups == 1 or convolution.depthwise or convolution.dtype not in ("fp32", "int8"):
        return False
    inside, outside = convolution.data[1] // convolution.groups, convolution.kernel[0] // convolution.groups
    words = convolution.dtype == "fp32" or (int8_dot.best(HALF_BLOCK) and inside % int8_dot.BYTES == 0)
    return bool(words) and outside % HALF_BLOCK == 0 and _in_block(convolution) > 0


def tiles(convolution: Convolution) -> list[str]:
    """Register tiles in vectors of output channels x rows x columns, the most promising first."""
    if not fits(convolution):
        return []
    lanes = _lanes(convolution)
    registers = 32 if get_simd_32bit_lanes() == 16 else 16
    vectors = _out_block(convolution) // lanes
    blocks = convolution.kernel[0] // convolution.groups // lanes if vectors == 1 else vectors
    dots = convolution.dtype == "int8"
    return register_tile.names(blocks, *convolution.out, registers, multiple=vectors, dots=dots)


def strategy(tile: Tile) -> relay.op.OpStrategy:
    """The strategy of a grouped convolution in blocked layout."""
    result = relay.op.OpStrategy()
    wrapped = wrap_compute_conv2d(_compute, need_data_layout=True, need_out_layout=True)
    result.add_implementation(wrapped, wrap_topi_schedule(partial(_schedule, tile=tile)), name="grouped.x86")
    return result


def _merged(convolution: Convolution) -> int:
    outside = convolution.kernel[0] // convolution.groups
    count = HALF_BLOCK // gcd(HALF_BLOCK, outside)
    if convolution.groups == 1 or convolution.depthwise or convolution.groups % count or count > MOST_MERGED:
        return 1
    return count


def _lanes(convolution: Convolution) -> int:
    """Output channels in a vector."""
    block = get_simd_32bit_lanes()
    return block if convolution.kernel[0] // convolution.groups % block == 0 else HALF_BLOCK


def _out_block(convolution: Convolution) -> int:
    """Output channels in a block of the output."""
    block = get_simd_32bit_lanes()
    return block if convolution.kernel[0] % block == 0 else HALF_BLOCK


def _in_block(convolution: Convolution) -> int:
    """Input channels in a block of the data: one that is part of a group, or has whole groups; 0 if there is none."""
    inside = convolution.data[1] // convolution.groups
    sizes = (get_simd_32bit_lanes(), HALF_BLOCK, int8_dot.BYTES)
    fitting = (s for s in sizes if convolution.data[1] % s == 0 and (inside % s == 0 or s % inside == 0))
    return next(fitting, 0)


def _chunk(convolution: Convolution) -> int:
    """Input channels that are summed up before the next position in the kernel."""
    return gcd(convolution.data[1] // convolution.groups, get_simd_32bit_lanes())


def _compute(
    data: te.Tensor,
    weight: te.Tensor,
    strides: Any,
    padding: Any,
    dilation: Any,
    layout: str,
    out_layout: str,
    out_dtype: str,
) -> te.Tensor:
    """Data (N, CI/16, H, W, 16), weight (CO/16, CI/G/8, KH, KW, 8, 16), for INT8 (..., 2, 16, 4) or (..., 4, 16, 2).

    The result is NCHW16c.
    """
    images, in_blocks, *size, block = get_const_tuple(data.shape)
    vectors, chunks, *kernel, parts, lanes = get_const_tuple(weight.shape)[:6]
    word = get_const_tuple(weight.shape)[6:]
    chunk = parts * (word[0] if word else 1)
    per_group = vectors * chunks * chunk // (in_blocks * block)
    spans = [(positions - 1) * step + 1 for positions, step in zip(kernel, dilation, strict=True)]
    top, left, bottom, right = topi.nn.get_pad_tuple(padding, spans)
    data = int8_products.data_for(data, weight)
    padded = topi.nn.pad(data, (0, 0, top, left, 0), (0, 0, bottom, right, 0)) if top + left + bottom + right else data
    out = [
        (edge + pad - span) // stride + 1
        for edge, pad, span, stride in zip(size, (top + bottom, left + right), spans, strides, strict=True)
    ]
    axes = [te.reduce_axis((0, extent)) for extent in (chunks, *kernel, parts, *word)]

    def summed(n: tir.Var, v: tir.Var, h: tir.Var, w: tir.Var, k: tir.Var) -> tir.PrimExpr:
        c, y, x, part, *element = axes
        channel = (v // per_group * chunks + c) * chunk + part * (word[0] if word else 1)
        row, column = h * strides[0] + y * dilation[0], w * strides[1] + x * dilation[1]
        value = padded[n, channel // block, row, column, sum(element, channel % block)]
        return te.sum(value.astype(out_dtype) * weight[v, c, y, x, part, k, *element].astype(out_dtype), axis=axes)

    sums = te.compute((images, vectors, *out, lanes), summed, name="sums")
    per_block = int(out_layout.removeprefix("NCHW").removesuffix("c")) // lanes
    return te.compute(
        (images, vectors // per_block, *out, per_block * lanes),
        lambda n, o, h, w, k: sums[n, o * per_block + k // lanes, h, w, k % lanes],
        name="grouped",
        tag=TAG,
    )


def _schedule(outs: list[te.Tensor], tile: Tile) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule_convolution(schedule, op, outs[0].op, tile)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_convolution(s: te.Schedule, convolution: te.Operation, last: te.Operation, tile: Tile) -> None:
    (sums,) = convolution.input_tensors
    padded, weight = sums.op.input_tensors
    lanes, block = int(sums.shape[-1]), int(convolution.output(0).shape[-1])
    if not convolution.same_as(last):
        s[convolution].compute_inline()
    per_vector, per_row, per_column = tile
    image, o, h, w, k = s[last].op.axis
    outer, o = s[last].split(o, per_vector * lanes // block)
    row, h = s[last].split(h, per_row)
    column, w = s[last].split(w, per_column)
    part, k = s[last].split(k, lanes)
    s[last].reorder(image, outer, row, column, h, w, o, part, k)
    s[last].vectorize(k)
    task = s[last].fuse(image, outer, row)
    s[last].parallel(task)
    if isinstance(padded.op, te.ComputeOp):
        s[padded].compute_at(s[last], task)
        s[padded].vectorize(s[padded].op.axis[-1])
        int8_products.inline_widening(s, padded)

    s[sums].compute_at(s[last], column)
    s[sums].set_scope("local")
    _, v, h, w, k = s[sums].op.axis
    c, y, x, i, *element = s[sums].op.reduce_axis
    s[sums].reorder(c, y, x, i, h, w, v, k, *element)
    for axis in (h, w, v):
        s[sums].unroll(axis)
    if not element:
        s[sums].vectorize(k)
        return
    kind = int8_dot.best(lanes)
    assert kind, "without an INT8 dot product this schedule does not fit"
    vector, k = s[sums].split(k, kind.lanes)
    s[sums].unroll(vector)
    s[sums].tensorize(k, int8_products.te_intrinsic(kind, padded.dtype))
