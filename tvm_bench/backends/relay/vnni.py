"""A default schedule for INT8 convolutions with AVX-512 VNNI (`vpdpbusd`): blocked channels (NCHW16c), u8 x s8 -> s32.

TVM 0.19's own one computes the convolution inside the innermost loop of whatever is fused behind it
(`schedule_conv_NCHWc_cpu_common_int8`, `inline_fused=True`), so that one accumulator waits for itself four cycles at a
time. Here a block of outputs stays in registers while the input channels and the kernel's places go by.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import tvm
from tvm import relay, te, tir, topi
from tvm.relay.op.strategy import wrap_compute_conv2d, wrap_topi_schedule, x86
from tvm.target.x86 import target_has_features
from tvm.topi.utils import get_const_tuple, traverse_inline

LANES = 16
INSTRUCTION = "llvm.x86.avx512.vpdpbusd.512"
REGISTERS = 32
TAG = "conv2d_NCHWc_int8"


def strategy(attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """TVM's strategy for blocked convolutions on x86, with this schedule for INT8 where the CPU has AVX-512 VNNI."""
    data, weight = inputs
    if not (topi.x86.is_int8_hw_support(data.dtype, weight.dtype) and target_has_features("avx512vnni")):
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
    per_block, per_row, per_column = register_tile(blocks, height, width)
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
    s[accumulator].reorder(block, y, x, four, h, w, o, k, element)
    for axis in (h, w, o):
        s[accumulator].unroll(axis)
    s[accumulator].tensorize(k, dot_product())


def dot_product() -> tvm.ir.TensorIntrin:
    """`vpdpbusd`: adds to 16 int32 sums the dot products of 4 uint8 values with 4 int8 weights each.

    TVM's own one (`dot_16x1x16_uint8_int8_int32`) refuses sums that are kept in local memory.
    """
    data = te.placeholder((4,), "uint8", "data")
    weight = te.placeholder((LANES, 4), "int8", "weight")
    i = te.reduce_axis((0, 4), "i")
    sums = te.compute((LANES,), lambda k: te.sum(data[i].astype("int32") * weight[k, i].astype("int32"), i))
    buffers = {
        data: tir.decl_buffer(data.shape, data.dtype, offset_factor=1, strides=[1]),
        weight: tir.decl_buffer(weight.shape, weight.dtype, offset_factor=1, strides=[te.var("stride"), 1]),
        sums: tir.decl_buffer(sums.shape, sums.dtype, offset_factor=1, strides=[1], scope="local"),
    }

    def emit(ins: list[tir.Buffer], outs: list[tir.Buffer]) -> tuple[tir.Stmt, tir.Stmt, tir.Stmt]:
        zero = tir.const(0, "int32x16")
        four = tir.reinterpret("int32", ins[0].vload([0], "uint8x4"))
        weights = tir.reinterpret("int32x16", ins[1].vload([0, 0], "int8x64"))

        def after(before: tir.PrimExpr) -> tir.Stmt:
            arguments = (tir.const(3, "uint32"), before, tir.Broadcast(four, LANES), weights)
            return outs[0].vstore([0], tir.call_llvm_pure_intrin("int32x16", INSTRUCTION, *arguments))

        return after(zero), outs[0].vstore([0], zero), after(outs[0].vload([0], "int32x16"))

    return te.decl_tensor_intrin(sums.op, emit, binds=buffers)


def register_tile(blocks: int, height: int, width: int) -> tuple[int, int, int]:
    """Blocks of channels, rows and columns of an output that are accumulated together, all dividing evenly.

    The most accumulators that leave registers for a weight vector of each block and one input; among equals the fewest
    loads for a multiplication, then the most rows.
    """
    tiles = product(_divisors(blocks), _divisors(height), _divisors(width))
    fitting = [tile for tile in tiles if prod(tile) + tile[0] + 1 <= REGISTERS]
    return max(fitting, key=lambda tile: (prod(tile), -(1 / tile[0] + tile[0] / prod(tile)), tile[1]))


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, min(number, REGISTERS) + 1) if number % divisor == 0]
