"""Schedules for global and adaptive pooling.

TVM 0.19 sums up the channels of a block (NCHW16c) one after the other, each over the whole image. Here a vector has all
of them.

An average over a whole image adds up lines of pixels, and then these sums. One sum over 112 x 112 pixels rounds so
often that its error is 1e-5, and a deep network can make 1e-3 of it. Two levels have most of the accuracy of pairwise
summation: Higham 1993, "The accuracy of floating point summation", SIAM J. Sci. Comput. 14 (4).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import tvm
from tvm import relay, te, tir
from tvm.relay.op.strategy.generic import wrap_topi_schedule
from tvm.target import override_native_generic_func
from tvm.topi.utils import get_const_int, get_const_tuple, traverse_inline
from tvm.topi.x86 import pooling

from .override import operator_attribute

AVERAGES = ("nn.global_avg_pool2d", "nn.adaptive_avg_pool2d")
MOST_LANES = 64
TAG = "adaptive_pool"  # begins the tags of TVM's stages
TAG_OF_AVERAGE = "average_of_images"


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, `relay.build` computes averages of whole images by this file."""
    with ExitStack() as stack:
        for name in AVERAGES:
            strategy = override_native_generic_func(f"{name}.{TAG_OF_AVERAGE}")(_strategy_of(name))
            stack.enter_context(operator_attribute(name, "FTVMStrategy", strategy))
        yield


def _strategy_of(name: str) -> Any:
    """The strategy for a type of output: TVM's compute, unless it is one average of each image in FP32."""
    tvms = tvm.ir.Op.get(name).get_attr("FTVMCompute")

    def strategy(attrs: Any, inputs: list, out: relay.TensorType, target: tvm.target.Target) -> relay.op.OpStrategy:
        result = relay.op.OpStrategy()
        if _averages_images(attrs, inputs[0], out):
            result.add_implementation(_compute, wrap_topi_schedule(_schedule), name=f"{TAG_OF_AVERAGE}.x86")
        else:
            result.add_implementation(tvms, wrap_topi_schedule(schedule), name=f"{TAG}.x86")
        return result

    return strategy


def _averages_images(attrs: Any, data: te.Tensor, out: relay.TensorType) -> bool:
    if data.dtype != "float32" or not all(isinstance(size, tir.IntImm) for size in (*data.shape, *out.shape)):
        return False
    blocked = len(data.shape) == 5 and attrs.layout.startswith("NCHW")
    return (blocked or attrs.layout == "NCHW") and get_const_tuple(out.shape)[2:4] == (1, 1)


def _compute(attrs: Any, inputs: list[te.Tensor], out: relay.TensorType) -> list[te.Tensor]:
    """(N, C, H, W) -> (N, C, 1, 1), or (N, C/16, H, W, 16) -> (N, C/16, 1, 1, 16)."""
    (data,) = inputs
    images, channels, height, width, *block = get_const_tuple(data.shape)
    row, column = te.reduce_axis((0, height), "row"), te.reduce_axis((0, width), "column")
    if block:
        lines = te.compute(
            (images, channels, height, *block),
            lambda n, c, y, b: te.sum(data[n, c, y, column, b], column),
            name="rows",
        )
        total = te.compute(
            (images, channels, 1, 1, *block), lambda n, c, y, x, b: te.sum(lines[n, c, row, b], row), name="total"
        )
    else:  # a vector has several columns
        lines = te.compute((images, channels, width), lambda n, c, x: te.sum(data[n, c, row, x], row), name="columns")
        total = te.compute(
            (images, channels, 1, 1), lambda n, c, y, x: te.sum(lines[n, c, column], column), name="total"
        )
    pixels = float(height * width)
    return [te.compute(total.shape, lambda *at: total(*at) / pixels, name="average", tag=TAG_OF_AVERAGE)]


def _schedule(outs: list[te.Tensor]) -> te.Schedule:
    last = outs[0].op
    averages: list[te.Operation] = []
    s = te.create_schedule([last])
    traverse_inline(s, last, lambda op: averages.append(op) if op.tag == TAG_OF_AVERAGE else None)
    for average in dict.fromkeys(averages):
        (total,) = average.input_tensors
        (lines,) = total.op.input_tensors
        task = s[average].fuse(*s[average].op.axis[:2])
        s[average].parallel(task)
        s[total].compute_at(s[average], task)
        if len(average.axis) == 5:
            s[lines].compute_at(s[total], _vectors_inside(s[total]))
            s[average].vectorize(s[average].op.axis[-1])
            _vectors_inside(s[lines])
        else:
            s[lines].compute_at(s[average], task)
            columns = s[lines].op.axis[-1]
            _vectors_inside(s[lines], s[lines].split(columns, _lanes(get_const_int(columns.dom.extent)))[1])
    _parallel(s, last, averages)
    return s


def schedule(outs: list[te.Tensor]) -> te.Schedule:
    """TVM's schedule for adaptive pooling on x86, with this one for blocked layouts."""
    last = outs[0].op
    pools: list[te.Operation] = []
    s = te.create_schedule([last])
    traverse_inline(s, last, lambda op: pools.append(op) if op.tag.startswith(TAG) else None)
    if len(outs) > 1 or not pools or any(len(op.axis) != 5 for op in pools):
        return pooling.schedule_adaptive_pool(outs)
    for pool in dict.fromkeys(pools):
        local = s.cache_write(pool.output(0), "local")
        image, block, row, column, channel = s[pool].op.axis
        s[pool].parallel(s[pool].fuse(image, block))
        s[pool].vectorize(channel)
        s[local].compute_at(s[pool], column)
        _vectors_inside(s[local])
    _parallel(s, last, pools)
    return s


def _lanes(columns: int) -> int:
    """The largest vector of which a line of pixels has a whole number. Hundreds would not fit the registers."""
    return max(lanes for lanes in range(1, MOST_LANES + 1) if columns % lanes == 0)


def _vectors_inside(stage: te.Stage, axis: tir.IterVar | None = None) -> tir.IterVar:
    """Add up vectors along the axis (None: the last). Returns the innermost axis of the sum, around the vectors."""
    axis = stage.op.axis[-1] if axis is None else axis
    stage.reorder(*stage.op.reduce_axis, axis)
    stage.vectorize(axis)
    return stage.op.reduce_axis[-1]


def _parallel(s: te.Schedule, last: te.Operation, pools: list[te.Operation]) -> None:
    """What is fused after the pools."""
    if last not in pools and len(last.axis) > 1:
        s[last].parallel(s[last].fuse(*last.axis[:2]))
