"""Convolutions without the kernel positions that only ever read padding.

A 3x3 kernel with dilation 36 on 28x28, as in DeepLabV3, reads data only by its centre: it is a 1x1 kernel.
"""

from __future__ import annotations

from typing import Any

from tvm import relay

from . import conv_workload
from .conv_workload import Convolution


def legalize(attrs: Any, inputs: list[relay.Expr], types: list[relay.TensorType]) -> relay.Expr | None:
    """The FP32 convolution with the smaller kernel; None if each position reads data, or if data would be cropped."""
    if types[0].dtype != "float32" or attrs.data_layout != "NCHW" or attrs.kernel_layout != "OIHW":
        return None
    convolution = conv_workload.of(attrs, *types[:2])
    ranges = [_reading(convolution, axis) for axis in (0, 1)]
    sizes = [end - start for start, end in ranges]
    padding = [_padding(convolution, axis, *ranges[axis]) for axis in (0, 1)]
    if sizes == list(convolution.kernel[1:]) or min(sizes) < 1 or min(min(padding)) < 0:
        return None
    (top, bottom), (left, right) = padding
    begins, ends = zip(*ranges, strict=True)
    changed = {
        "padding": (top, left, bottom, right),
        "kernel_size": sizes,
        "channels": convolution.kernel[0],
        "dilation": [step if size > 1 else 1 for step, size in zip(convolution.dilation, sizes, strict=True)],
    }
    weight = relay.strided_slice(inputs[1], begins, ends, strides=(1, 1), axes=(2, 3))
    return relay.nn.conv2d(inputs[0], weight, **{**attrs, **changed})


def _reading(convolution: Convolution, axis: int) -> tuple[int, int]:
    """The first kernel position along the axis that reads data for any output, and the one after the last."""
    size, stride, step = convolution.data[2 + axis], convolution.strides[axis], convolution.dilation[axis]
    reading = [
        position
        for position in range(convolution.kernel[1 + axis])
        if any(
            0 <= output * stride + position * step - convolution.padding[axis] < size
            for output in range(convolution.out[axis])
        )
    ]
    return (reading[0], reading[-1] + 1) if reading else (0, 0)


def _padding(convolution: Convolution, axis: int, start: int, end: int) -> tuple[int, int]:
    """The padding before and after the data for the kernel positions from `start` to `end`."""
    step = convolution.dilation[axis]
    after = convolution.padding[2 + axis] - (convolution.kernel[1 + axis] - end) * step
    return convolution.padding[axis] - start * step, after
