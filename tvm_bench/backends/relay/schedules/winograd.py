"""Winograd convolution for TVM's default schedules: 3x3, stride 1, blocked channels (NCHW16c), FP32 and INT8.

TVM 0.19 has a Winograd for x86 only in NHWC, only in FP32, and only when AutoScheduler or MetaSchedule schedule it.
F(4x4, 3x3) takes 36 multiplications for 16 outputs of one channel, where the direct convolution takes 144; its
transformed weights are four times as large. F(2x2, 3x3) takes 16 for 4, with weights 1.8 times as large (Lavin and
Gray 2016, "Fast Algorithms for Convolutional Neural Networks", CVPR, arXiv:1509.09308). winograd_int8.py says how
INT8 stays exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relay, te
from tvm.relay.op.strategy import wrap_topi_schedule, x86
from tvm.target.x86 import get_simd_32bit_lanes

from . import conv_workload, winograd_int8, winograd_kernel, winograd_weights
from .conv_workload import Convolution

SIZES = (4, 2)  # of a tile of outputs; the first is the default
NAME = "winograd"  # before the size, in the name of the schedule
# With fewer outputs, transforms take longer than Winograd saves.
LEAST_OUTPUTS = 36
LEAST_OUTPUTS_WITH_AVX512 = 16  # whose registers hold all sums of few tiles


def alter_layout(
    attrs: Any, inputs: list, types: list[relay.TensorType], *, schedule_of: Callable[[Convolution], str]
) -> relay.Expr | None:
    """The convolution by Winograd where `schedule_of(convolution)` is one of its tiles, else None."""
    convolution = conv_workload.of(attrs, *types)
    schedule = schedule_of(convolution) if names(convolution) and attrs.data_layout == "NCHW" else ""
    if not schedule.startswith(NAME):
        return None
    size = int(schedule.removeprefix(NAME))
    int8, block = convolution.dtype == "int8", _block(convolution)
    shape = (convolution.kernel[0], convolution.data[1], *convolution.kernel[1:])
    if int8:
        weight = winograd_int8.stored(inputs[1], chunks=winograd_int8.in_chunks(convolution))
    else:
        weight = winograd_weights.stored(inputs[1], shape, size, block)
    if weight is None:
        return None
    return relay.nn.contrib_conv2d_winograd_without_weight_transform(
        inputs[0],
        weight,
        tile_size=size,
        padding=attrs.padding,
        channels=convolution.kernel[0],
        kernel_size=convolution.kernel[1:],
        data_layout=f"NCHW{block}c",
        out_layout=f"NCHW{block}c",
        out_dtype="int32" if int8 else "float32",
    )


def _block(convolution: Convolution) -> int:
    return winograd_int8.BLOCK if convolution.dtype == "int8" else get_simd_32bit_lanes()


def names(convolution: Convolution) -> list[str]:
    """The schedules by which Winograd can compute this convolution; none if it cannot."""
    outputs, *kernel = convolution.kernel
    sizes = {"fp32": SIZES, "int8": (winograd_int8.SIZE,) if winograd_int8.has_instructions() else ()}
    block = _block(convolution)
    fits = (
        (convolution.groups, kernel) == (1, [3, 3])
        and {*convolution.strides, *convolution.dilation} == {1}
        and outputs % block == convolution.data[1] % block == 0
    )
    return [f"{NAME}{size}" for size in sizes.get(convolution.dtype, ())] if fits else []


def pays(convolution: Convolution) -> bool:
    """Whether Winograd with the larger tile is likely to be faster."""
    if not names(convolution):
        return False
    if convolution.dtype == "int8":
        return winograd_int8.pays(convolution)
    return convolution.outputs >= (LEAST_OUTPUTS_WITH_AVX512 if _block(convolution) == 16 else LEAST_OUTPUTS)


def strategy(attrs: Any, inputs: list[te.Tensor], out_type: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """TVM's strategy for Winograd on x86, and one for blocked channels, which TVM does not have."""
    if attrs.data_layout == "NHWC":
        return x86.conv2d_winograd_without_weight_transform_strategy_cpu(attrs, inputs, out_type, target)
    result = relay.op.OpStrategy()
    schedule = wrap_topi_schedule(winograd_kernel.schedule)
    result.add_implementation(winograd_kernel.compute, schedule, name=f"{winograd_kernel.TAG}.x86")
    return result
