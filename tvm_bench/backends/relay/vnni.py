"""A default schedule for INT8 convolutions with `vpdpbusd` and its like: blocked channels (NCHW16c), u8 x s8 -> s32.

TVM 0.19's own one computes the convolution inside the innermost loop of whatever is fused behind it
(`schedule_conv_NCHWc_cpu_common_int8`, `inline_fused=True`), so that one accumulator waits for itself four cycles at a
time. Here a block of outputs stays in registers while the input channels and the kernel's places go by.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import tvm
from tvm import relay, te, topi
from tvm.relay.op.strategy import wrap_compute_conv2d, wrap_topi_schedule, x86
from tvm.topi.utils import get_const_tuple, traverse_inline

from . import dot

BLOCK = 16  # channels, as TVM lays them out
TAG = "conv2d_NCHWc_int8"


def strategy(attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """TVM's strategy for blocked convolutions on x86, with this schedule for INT8."""
    data, weight = inputs
    if not (topi.x86.is_int8_hw_support(data.dtype, weight.dtype) and dot.best()):
        return x86.conv2d_NCHWc_strategy_cpu(attrs, inputs, out_type, target)
    found = relay.op.OpStrategy()
    compute = wrap_compute_conv2d(topi.x86.conv2d_NCHWc_int8, need_data_layout=True, need_out_layout=True)
    found.add_implementation(compute, wrap_topi_schedule(_schedule), name=f"{TAG}.vnni")
    return found


def _schedule(outs: list[te.Tensor]) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule_convolution(schedule, op, outs[0].op)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_convolution(s: te.Schedule, convolution: te.Operation, last: te.Operation) -> None:
    accumulator = s.cache_write(convolution.output(0), "local")
    if not convolution.same_as(last):
        s[convolution].compute_inline()
    _, blocks, height, width, _ = get_const_tuple(last.output(0).shape)
    kind = dot.best()
    assert kind, "the strategy asked before"
    per_block, per_row, per_column = register_tile(blocks, height, width, kind.registers * kind.lanes // BLOCK)
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
    y, x, block, four, element = s[accumulator].op.reduce_axis
    vector, k = s[accumulator].split(k, kind.lanes)
    s[accumulator].reorder(block, y, x, four, h, w, o, vector, k, element)
    for axis in (h, w, o, vector):
        s[accumulator].unroll(axis)
    s[accumulator].tensorize(k, dot.te_intrinsic(kind))


def register_tile(blocks: int, height: int, width: int, registers: int) -> tuple[int, int, int]:
    """Blocks of channels, rows and columns of an output that are accumulated together, all dividing evenly.

    The most accumulators that leave registers for a weight vector of each block and one input, of `registers` that
    hold a block of sums each; among equals the fewest loads for a multiplication, then the most rows.
    """
    tiles = product(*(_divisors(number, registers) for number in (blocks, height, width)))
    fitting = [tile for tile in tiles if prod(tile) + tile[0] + 1 <= registers]
    return max(fitting, key=lambda tile: (prod(tile), -(1 / tile[0] + tile[0] / prod(tile)), tile[1]))


def _divisors(number: int, largest: int) -> list[int]:
    return [divisor for divisor in range(1, min(number, largest) + 1) if number % divisor == 0]
