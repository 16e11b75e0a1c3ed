"""Schedules for direct convolutions of blocked channels (NCHW16c): a tile of outputs stays in vector registers while
input channels and the kernel's places go by. FP32, INT8 (u8 x s8 -> s32 by `vpdpbusd` and its like), and depthwise.

TVM 0.19's own INT8 one computes the convolution inside the innermost loop of whatever is fused behind it
(`schedule_conv_NCHWc_cpu_common_int8`, `inline_fused=True`), so that one accumulator waits for itself four cycles at a
time; its depthwise one writes what it has summed to memory before the operators behind it read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from math import prod
from typing import Any

import tvm
from tvm import relay, te, topi
from tvm.autotvm.task.space import SplitEntity
from tvm.relay.op.strategy import wrap_compute_conv2d, wrap_topi_schedule, x86
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple, traverse_inline
from tvm.topi.x86 import conv2d

from . import dot, workload

INT8_BLOCK = 16  # channels, as TVM lays them out
LEAST_BLOCK = 8  # half a vector of AVX-512: Zen 4 computes as much with twice as many of them
TAGS = ("conv2d_NCHWc", "conv2d_NCHWc_int8", "depthwise_conv2d_NCHWc")
OTHERS = 4  # tiles that compete with the one which arithmetic prefers
Tile = tuple[int, int, int]  # blocks of channels, rows and columns of the output that are summed together


def strategy(
    attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target, *, chosen: Callable
) -> relay.op.OpStrategy:
    """TVM's strategy for blocked convolutions on x86, with this schedule where `chosen(convolution)` is a tile."""
    convolution = workload.of(attrs, *inputs)
    tile = parsed(chosen(convolution))
    if not tile:
        theirs = (x86.conv2d_NCHWc_strategy_cpu, x86.depthwise_conv2d_NCHWc_strategy_cpu)[convolution.depthwise]
        return theirs(attrs, inputs, out_type, target)
    if convolution.depthwise:
        compute = topi.x86.depthwise_conv2d_NCHWc
    else:
        compute = topi.x86.conv2d_NCHWc_int8 if convolution.dtype == "int8" else topi.x86.conv2d_NCHWc
    found = relay.op.OpStrategy()
    wrapped = wrap_compute_conv2d(compute, need_data_layout=True, need_out_layout=True)
    found.add_implementation(wrapped, wrap_topi_schedule(partial(_schedule, tile=tile)), name="direct.x86")
    return found


def configure(config: Any, data: te.Tensor, kernel: te.Tensor, *others: Any) -> None:
    """TVM's default configuration, in blocks of whole vectors: 24 channels are three of 8, not two of 12."""
    conv2d._get_default_config(config, data, kernel, *others)
    if data.dtype == "float32":
        for name, channels in (("tile_oc", kernel.shape[0]), ("tile_ic", data.shape[1])):
            if size := _block(int(channels), LEAST_BLOCK):
                config[name] = SplitEntity([int(channels) // size, size])


def tiles(convolution: workload.Convolution) -> list[str]:
    """Register tiles as `blocks x rows x columns`, the likeliest first; none where this schedule cannot be used."""
    outputs, inputs = convolution.kernel[0], convolution.data[1]
    kind = dot.best() if convolution.dtype == "int8" else None
    dense = convolution.groups == 1
    if not (dense or convolution.depthwise) or convolution.dtype not in ("fp32", "int8"):
        return []
    if dense and convolution.dtype == "int8":
        size = INT8_BLOCK if kind and inputs % dot.BYTES == outputs % INT8_BLOCK == 0 else None
    else:
        size = _block(outputs, LEAST_BLOCK if convolution.dtype == "fp32" else get_simd_32bit_lanes())
    if not size:
        return []
    lanes = kind.lanes if kind and dense else get_simd_32bit_lanes()
    registers = (32 if get_simd_32bit_lanes() == 16 else 16) * min(lanes, size) // size
    blocks = outputs // size if dense else 1  # depthwise: each block has inputs of its own
    return [written(tile) for tile in _fitting(blocks, *convolution.out, registers)[: 1 + OTHERS]]


def register_tile(blocks: int, height: int, width: int, registers: int) -> Tile:
    """The tile that arithmetic prefers: see `_fitting`."""
    return _fitting(blocks, height, width, registers)[0]


def written(tile: Tile) -> str:
    """`2x1x14`."""
    return "x".join(map(str, tile))


def parsed(text: str) -> Tile | None:
    """The way back from `written`; None for the name of another schedule."""
    parts = text.split("x")
    return tuple(map(int, parts)) if len(parts) == 3 and all(part.isdigit() for part in parts) else None


def _block(channels: int, least: int) -> int | None:
    """The widest of whole vectors, down to `least`, that `channels` are a multiple of."""
    return next((size for size in (get_simd_32bit_lanes(), least) if channels % size == 0), None)


def _fitting(blocks: int, height: int, width: int, registers: int) -> list[Tile]:
    """Tiles that divide the output evenly and leave registers for a weight vector of each block and one input.

    The one with the most accumulators first, of `registers` that hold a block of sums each; among equals the fewest
    loads for a multiplication, then the most rows.
    """
    every = product(*(_divisors(number, registers) for number in (blocks, height, width)))
    fitting = [tile for tile in every if prod(tile) + tile[0] + 1 <= registers]
    return sorted(fitting, key=lambda tile: (-prod(tile), 1 / tile[0] + tile[0] / prod(tile), -tile[1]))


def _divisors(number: int, largest: int) -> list[int]:
    return [divisor for divisor in range(1, min(number, largest) + 1) if number % divisor == 0]


def _schedule(outs: list[te.Tensor], tile: Tile) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag in TAGS:
            _schedule_convolution(schedule, op, outs[0].op, tile)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_convolution(s: te.Schedule, convolution: te.Operation, last: te.Operation, tile: Tile) -> None:
    accumulator = s.cache_write(convolution.output(0), "local")
    if not convolution.same_as(last):
        s[convolution].compute_inline()
    per_block, per_row, per_column = tile
    image, o, h, w, k = s[last].op.axis
    outer_block, o = s[last].split(o, per_block)
    row, h = s[last].split(h, per_row)
    column, w = s[last].split(w, per_column)
    s[last].reorder(image, outer_block, row, column, h, w, o, k)
    s[last].vectorize(k)
    task = s[last].fuse(image, outer_block, row)
    s[last].parallel(task)

    padded = convolution.input_tensors[0]
    if isinstance(padded.op, te.ComputeOp):
        # The rows that a task needs: a copy in L1 costs less than a pass of its own over the image.
        s[padded].compute_at(s[last], task)
        s[padded].vectorize(s[padded].op.axis[-1])

    s[accumulator].compute_at(s[last], column)
    _, o, h, w, k = s[accumulator].op.axis
    reduced = s[accumulator].op.reduce_axis
    inner: Iterable = (h, w, o)
    if convolution.tag == "conv2d_NCHWc_int8":
        y, x, block, four, element = reduced
        kind = dot.best()
        vector, k = s[accumulator].split(k, kind.lanes)
        s[accumulator].reorder(block, y, x, four, h, w, o, vector, k, element)
        inner = (h, w, o, vector)
        s[accumulator].tensorize(k, dot.te_intrinsic(kind))
    elif convolution.tag == "conv2d_NCHWc":
        c, y, x = reduced
        block, c = s[accumulator].split(c, get_const_tuple(padded.shape)[-1])
        s[accumulator].reorder(block, y, x, c, h, w, o, k)
        s[accumulator].vectorize(k)
    else:
        y, x = reduced
        s[accumulator].reorder(y, x, h, w, o, k)
        s[accumulator].vectorize(k)
        inner = (y, x, h, w, o)
    for axis in inner:
        s[accumulator].unroll(axis)
