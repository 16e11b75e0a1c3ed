"""Transposed convolutions as convolutions: each output position within a stride is a channel of its own.

Afterwards these channels are moved to their positions (Shi et al. 2016, "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR, arXiv:1609.05158). TVM 0.19 puts
zeros between the data instead, which are most of what it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relay
from tvm.topi.utils import get_const_tuple


def legalize(attrs: Any, inputs: list[relay.Expr], types: list[relay.TensorType]) -> relay.Expr | None:
    """The convolution and the moves of its outputs; None where this is not possible: with groups, or dilated."""
    return as_convolution(attrs, inputs, types, relay.nn.conv2d) if types[0].dtype == "float32" else None


def as_convolution(
    attrs: Any, inputs: list[relay.Expr], types: list[relay.TensorType], convolve: Callable
) -> relay.Expr | None:
    """The same by `convolve`, such as `relay.nn.conv2d`. `types` are those of data, weights and output."""
    data, weight, result = types
    strides, kernel = get_const_tuple(attrs.strides), get_const_tuple(weight.shape)[2:]
    plain = attrs.groups == 1 and set(get_const_tuple(attrs.dilation)) == {1}
    if (
        not plain
        or attrs.data_layout != "NCHW"
        or attrs.kernel_layout != "IOHW"
        or attrs.out_layout not in ("", "NCHW")
    ):
        return None
    images, _, *size = get_const_tuple(data.shape)
    _, channels, *out = get_const_tuple(result.shape)
    # Of the kernel positions, each output reads every one whose distance is a multiple of the stride.
    reads = [-(-positions // stride) for positions, stride in zip(kernel, strides, strict=True)]
    begins = get_const_tuple(attrs.padding)[:2]
    ends = [begin + extent for begin, extent in zip(begins, out, strict=True)]
    blocks = [extent + count - 1 for extent, count in zip(size, reads, strict=True)]
    if any(end > block * stride for end, block, stride in zip(ends, blocks, strides, strict=True)):
        return None
    sums = convolve(
        inputs[0],
        _split(inputs[1], weight, reads, strides),
        channels=channels * strides[0] * strides[1],
        kernel_size=reads,
        padding=[count - 1 for count in reads],
    )
    positions = relay.reshape(sums, (images, channels, *strides, *blocks))
    moved = relay.transpose(positions, (0, 1, 4, 2, 5, 3))
    whole = [block * stride for block, stride in zip(blocks, strides, strict=True)]
    moved = relay.reshape(moved, (images, channels, *whole))
    if (whole, begins) == (out, (0, 0)):
        return moved
    return relay.strided_slice(moved, begins, ends, strides=(1, 1), axes=(2, 3))


def _split(weight: relay.Expr, type: relay.TensorType, reads: list[int], strides: tuple[int, ...]) -> relay.Expr:
    """Weights (I, O, KH, KW) as those of a convolution (O * SH * SW, I, KH/SH, KW/SW), the last of each axis first."""
    inside, outside, *kernel = get_const_tuple(type.shape)
    after = [(0, n * stride - size) for n, stride, size in zip(reads, strides, kernel, strict=True)]
    padded = relay.nn.pad(weight, ((0, 0), (0, 0), *after))
    split = relay.reshape(padded, (inside, outside, reads[0], strides[0], reads[1], strides[1]))
    flipped = relay.reverse(relay.reverse(split, axis=2), axis=4)
    ordered = relay.transpose(flipped, (1, 3, 5, 0, 2, 4))
    return relay.reshape(ordered, (outside * strides[0] * strides[1], inside, *reads))
