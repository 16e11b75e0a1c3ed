"""Schedules for direct convolutions of blocked channels (NCHW16c): FP32, BF16, INT8 (u8 x s8 -> s32) and depthwise.

A tile of outputs stays in vector registers while the loops run over input channels and kernel positions.

TVM 0.19's own INT8 schedule computes the convolution inside the innermost loop of the operators fused behind it
(`schedule_conv_NCHWc_cpu_common_int8`, `inline_fused=True`): each `vpdpbusd` waits four cycles for the one before it.
TVM's depthwise schedule writes its sums to memory before the operators behind it read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import prod
from typing import Any

import tvm
from tvm import relay, te, topi
from tvm.autotvm.task.space import SplitEntity
from tvm.relay.op.strategy import wrap_compute_conv2d, wrap_topi_schedule, x86
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.generic.conv2d import conv2d_alter_int8_common
from tvm.topi.utils import get_const_tuple, traverse_inline
from tvm.topi.x86 import conv2d, conv2d_alter_op

from . import bf16_dot, conv_workload, grouped_conv, int8_dot, int8_products, pointwise_conv, register_tile
from .register_tile import HALF_BLOCK, Tile, block_size

BLOCKS = (16, HALF_BLOCK)  # channels of INT8 and BF16, on AVX2 too; TVM's own schedules take the first only
DOTS = {"int8": (int8_dot, int8_dot.BYTES), "bf16": (bf16_dot, bf16_dot.PAIR)}  # dot products, and the values in one
DEPTHWISE = "depthwise_conv2d_NCHWc"
TAGS = ("conv2d_NCHWc", "conv2d_NCHWc_int8", DEPTHWISE)
FEW_PRODUCTS = 128  # for each output: the 147 of a ResNet's first convolution take longer with these tiles
L1_BYTES = 24 * 1024  # of 32, for the padded rows of a task


def strategy(
    attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target, *, schedule_of: Callable
) -> relay.op.OpStrategy:
    """TVM's strategy for blocked convolutions on x86, with this schedule where `schedule_of(convolution)` is a tile."""
    convolution = conv_workload.of(attrs, *inputs)
    tile = register_tile.parsed(schedule_of(convolution))
    if tile and grouped_conv.fits(convolution):
        return grouped_conv.strategy(tile)
    if not tile:
        if convolution.depthwise:
            return x86.depthwise_conv2d_NCHWc_strategy_cpu(attrs, inputs, out_type, target)
        return x86.conv2d_NCHWc_strategy_cpu(attrs, inputs, out_type, target)
    if convolution.depthwise:
        compute = topi.x86.depthwise_conv2d_NCHWc
    elif pointwise_conv.fits(convolution):
        compute = partial(pointwise_conv.compute, tile=tile)
    else:
        # The INT8 compute of topi.x86 configures TVM's schedule too, which refuses blocks of 8.
        compute = _dots if convolution.dtype in DOTS else topi.x86.conv2d_NCHWc
        compute = partial(_wide, compute, convolution=convolution, tile=tile)
    result = relay.op.OpStrategy()
    wrapped = wrap_compute_conv2d(compute, need_data_layout=True, need_out_layout=True)
    schedule = partial(_schedule, tile=tile, stride=convolution.strides[0])
    result.add_implementation(wrapped, wrap_topi_schedule(schedule), name="direct.x86")
    return result


def _dots(data: te.Tensor, kernel: te.Tensor, *others: Any) -> te.Tensor:
    data = int8_products.data_for(data, kernel)
    return topi.nn.conv2d_NCHWc_int8(data, kernel, *others, n_elems=int(kernel.shape[-1]))


def _wide(
    compute: Callable,
    data: te.Tensor,
    kernel: te.Tensor,
    strides: Any,
    padding: Any,
    *others: Any,
    convolution: conv_workload.Convolution,
    tile: Tile,
) -> te.Tensor:
    """The convolution, computed for whole tiles, and cut to its size."""
    more = [-size % part for size, part in zip(convolution.out, tile[1:], strict=True)]
    if not any(more):
        return compute(data, kernel, strides, padding, *others)
    top, left, bottom, right = convolution.padding
    below, beside = (count * stride for count, stride in zip(more, convolution.strides, strict=True))
    whole = compute(data, kernel, strides, (top, left, bottom + below, right + beside), *others)
    images, blocks, *_, block = get_const_tuple(whole.shape)
    return te.compute((images, blocks, *convolution.out, block), lambda *place: whole(*place), tag=topi.tag.INJECTIVE)


def configure(config: Any, data: te.Tensor, kernel: te.Tensor, *others: Any) -> None:
    """TVM's default configuration, in blocks of whole vectors: 24 channels are three of 8, not two of 12."""
    conv2d._get_default_config(config, data, kernel, *others)
    for name, channels in (("tile_oc", int(kernel.shape[0])), ("tile_ic", int(data.shape[1]))):
        if size := block_size(channels, (get_simd_32bit_lanes(), HALF_BLOCK)):
            config[name] = SplitEntity([channels // size, size])


def alter_layout(attrs: Any, inputs: list, types: list[relay.TensorType]) -> relay.Expr | None:
    """An INT8 or BF16 convolution in blocks of 16 or 8 channels, or a depthwise one that TVM leaves slow; else None.

    TVM's own blocks for INT8 have 16, but with AVX2 those of depthwise convolutions have 8, and the layout would change
    before and after each. It leaves dilated ones in NCHW, without a schedule for CPUs.
    """
    convolution = conv_workload.of(attrs, *types)
    if convolution.depthwise and (set(convolution.dilation) != {1} or convolution.dtype == "int8"):
        return _blocked_depthwise(attrs, inputs, convolution)
    if attrs.data_layout != "NCHW" or types[0].dtype not in ("uint8", bf16_dot.BITS) or convolution.groups > 1:
        return None
    if not tiles(convolution):
        return None
    _, word = DOTS[convolution.dtype]
    out = block_size(convolution.kernel[0], BLOCKS)
    into = block_size(convolution.data[1], (*BLOCKS, word))
    assert out and into, "else there are no tiles"
    weights, word = int8_products.weights_for(inputs[1]) if convolution.dtype == "int8" else (inputs[1], word)
    kernel_layout = f"OIHW{into // word}i{out}o{word}i"
    return relay.nn.contrib_conv2d_nchwc(inputs[0], weights, **_in_blocks(attrs, convolution, into, kernel_layout, out))


def _blocked_depthwise(attrs: Any, inputs: list, convolution: conv_workload.Convolution) -> relay.Expr | None:
    block = block_size(convolution.kernel[0], (*_depthwise_blocks(convolution), *range(get_simd_32bit_lanes(), 1, -1)))
    if attrs.data_layout != "NCHW" or attrs.kernel_layout != "OIHW" or not block:
        return None
    changed = _in_blocks(attrs, convolution, block, f"OIHW1i{block}o", block)
    return relay.nn.contrib_depthwise_conv2d_nchwc(*inputs, **changed)


def _depthwise_blocks(convolution: conv_workload.Convolution) -> tuple[int, ...]:
    return BLOCKS if convolution.dtype == "int8" else (get_simd_32bit_lanes(), HALF_BLOCK)


def _in_blocks(
    attrs: Any, convolution: conv_workload.Convolution, into: int, kernel_layout: str, out: int
) -> dict[str, Any]:
    """The attributes of a convolution of blocks of `into` channels to blocks of `out` channels."""
    return {
        **attrs,
        "data_layout": f"NCHW{into}c",
        "kernel_layout": kernel_layout,
        "out_layout": f"NCHW{out}c",
        "channels": convolution.kernel[0],
    }


def legalize(attrs: Any, inputs: list[relay.Expr], types: list[relay.TensorType]) -> relay.Expr | None:
    """TVM's legalization for x86, but 24 INT8 channels stay 24: TVM pads them to 32, a multiple of 16."""
    data, kernel, out = types
    if not int8_dot.best() or kernel.dtype != "int8" or not in_half_blocks(conv_workload.of(attrs, data, kernel)):
        return conv2d_alter_op._conv2d_legalize(attrs, inputs, types)
    return conv2d_alter_int8_common(inputs[0], data, inputs[1], kernel, out, attrs, "uint8", int8_dot.BYTES, HALF_BLOCK)


def in_half_blocks(convolution: conv_workload.Convolution) -> bool:
    """Whether its output channels are an odd multiple of 8 in INT8: TVM's own schedule cannot compute that."""
    int8 = convolution.dtype == "int8" and convolution.groups == 1
    return int8 and block_size(convolution.kernel[0], BLOCKS) == HALF_BLOCK


def tiles(convolution: conv_workload.Convolution) -> list[str]:
    """Register tiles as `blocks x rows x columns`, the most promising first; none where this schedule is impossible."""
    ungrouped = convolution.groups == 1
    if not (ungrouped or convolution.depthwise) or convolution.dtype not in ("fp32", *DOTS):
        return []
    vector = get_simd_32bit_lanes()
    if ungrouped and convolution.dtype in DOTS:
        dot, word = DOTS[convolution.dtype]
        block = block_size(convolution.kernel[0], BLOCKS)
        kind = dot.best(block) if block else None
        if not kind or convolution.data[1] % word:
            return []
        lanes = kind.lanes
    elif convolution.dtype == "bf16":
        return []
    else:
        block, lanes = block_size(convolution.kernel[0], _depthwise_blocks(convolution)), vector
    if not block:
        return []
    registers = (32 if vector == 16 else 16) * min(lanes, block) // block
    # The blocks of a depthwise convolution share no inputs: a tile has one block.
    blocks = convolution.kernel[0] // block if ungrouped else 1
    few = convolution.depthwise or has_few_products(convolution)
    on_stack = register_tile.STACK_BYTES // (4 * block) if few else 0
    dots = convolution.dtype in DOTS
    if pointwise_conv.fits(convolution):
        return register_tile.names(blocks, 1, prod(convolution.out), registers, beyond=True)
    pointwise = ungrouped and _is_pointwise(convolution)
    # An odd number of blocks has few tiles, and 3x1x4 takes 0.8 of the time of 1x1x8.
    full = pointwise and blocks % 2 == 1
    return register_tile.names(
        blocks, *convolution.out, registers, on_stack=on_stack, beyond=ungrouped and not pointwise, dots=dots, full=full
    )


def has_few_products(convolution: conv_workload.Convolution) -> bool:
    """Whether it is one in FP32 that sums up so little for each output that storing takes part of its time."""
    products = prod(convolution.kernel[1:]) * convolution.data[1]
    return convolution.dtype == "fp32" and (_is_pointwise(convolution) or products <= FEW_PRODUCTS)


def _is_pointwise(convolution: conv_workload.Convolution) -> bool:
    return set(convolution.kernel[1:]) == {1}


def _schedule(outs: list[te.Tensor], tile: Tile, stride: int) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag in TAGS:
            _schedule_convolution(schedule, op, outs[0].op, tile, stride)
        elif op.tag == pointwise_conv.TAG:
            pointwise_conv.schedule(schedule, op, outs[0].op, tile)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_convolution(
    s: te.Schedule, convolution: te.Operation, last: te.Operation, tile: Tile, stride: int
) -> None:
    accumulator = s.cache_write(convolution.output(0), "local")
    if not convolution.same_as(last):
        s[convolution].compute_inline()
    per_block, per_row, per_column = tile
    image, o, h, w, k = s[last].op.axis
    outer_block, o = s[last].split(o, per_block)
    padded = convolution.input_tensors[0]
    row, h = s[last].split(h, per_row)
    rows, row = s[last].split(row, _tiles_per_task(convolution, per_row, stride) if convolution.tag == DEPTHWISE else 1)
    column, w = s[last].split(w, per_column)
    s[last].reorder(image, outer_block, rows, row, column, h, w, o, k)
    s[last].vectorize(k)
    task = s[last].fuse(image, outer_block, rows)
    s[last].parallel(task)

    if isinstance(padded.op, te.ComputeOp):
        # Only the rows that a task needs: they stay in L1, and padding the whole image first costs more.
        s[padded].compute_at(s[last], task)
        s[padded].vectorize(s[padded].op.axis[-1])
        int8_products.inline_widening(s, padded)

    s[accumulator].compute_at(s[last], column)
    _, o, h, w, k = s[accumulator].op.axis
    reduced = s[accumulator].op.reduce_axis
    inner: Iterable = (h, w, o)
    if convolution.tag == "conv2d_NCHWc_int8":
        y, x, block, four, element = reduced
        bf16 = padded.dtype == bf16_dot.BITS
        kind = (bf16_dot if bf16 else int8_dot).best(int(k.dom.extent))
        assert kind, "without a dot product there are no tiles"
        vector, k = s[accumulator].split(k, kind.lanes)
        s[accumulator].reorder(block, y, x, four, h, w, o, vector, k, element)
        inner = (h, w, o, vector)
        s[accumulator].tensorize(k, (bf16_dot if bf16 else int8_products).te_intrinsic(kind, padded.dtype))
        if bf16:
            s[last].pragma(task, "import_llvm", bf16_dot.llvm(kind))
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


def _tiles_per_task(depthwise: te.Operation, per_row: int, stride: int) -> int:
    """Tiles above each other that a task computes: it pads the rows between them once, if they fit the L1 cache."""
    padded = depthwise.input_tensors[0]
    *_, padded_height, padded_width, block = get_const_tuple(padded.shape)
    images, blocks, height, *_ = get_const_tuple(depthwise.output(0).shape)
    row_bytes = padded_width * block * tvm.DataType(padded.dtype).bits // 8
    tiles = height // per_row
    fitting = [
        count
        for count in range(1, tiles + 1)
        if tiles % count == 0
        and (padded_height - (height - count * per_row) * stride) * row_bytes <= L1_BYTES
        and images * blocks * tiles // count >= register_tile.LEAST_TASKS
    ]
    return max(fitting, default=1)
