"""A pass for dilated convolutions: they are computed as convolutions without dilation, which have faster schedules.

With dilation 2, an output reads every second pixel of every second row: the pixels fall into four images that share
nothing (Chen et al. 2018, "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and
Fully Connected CRFs", TPAMI, arXiv:1606.00915, section 3.1). With a dilation nearly as large as the image, most of
what the kernel reads is padding: then each of its positions is a pointwise convolution of the pixels that it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import product

import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import in_order, name_of
from .schedules import conv_workload
from .schedules.conv_workload import Convolution

MOSTLY_PADDING = 0.6  # share of the products that read data, below which the positions are computed one by one
LEAST_SIZE = 4  # rows and columns of the outputs of each small image


@relay.transform.function_pass(opt_level=0)
class DilatedConvolutions:
    """Rewrites those in NCHW with stride 1 and one group."""

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return in_order(_Undilated(), function)


class _Undilated(ExprMutator):
    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "nn.conv2d" or call.attrs.data_layout != "NCHW" or call.attrs.kernel_layout != "OIHW":
            return new
        convolution = conv_workload.of(call.attrs, *(argument.checked_type for argument in call.args))
        if convolution.groups > 1 or set(convolution.strides) != {1} or set(convolution.dilation) == {1}:
            return new
        if _share_of_data(convolution) < MOSTLY_PADDING:
            return _by_position(*new.args, convolution, _convolution(call))
        if any(size < LEAST_SIZE * step for size, step in zip(convolution.out, convolution.dilation, strict=True)):
            return new
        return _by_image(*new.args, convolution, _convolution(call))


def _convolution(call: relay.Call) -> Callable:
    """A function that makes a convolution like `call`, but undilated: of data, weights and padding."""

    def convolution(
        data: relay.Expr, weight: relay.Expr, kernel: tuple[int, ...], padding: tuple[int, ...]
    ) -> relay.Call:
        changed = {"kernel_size": kernel, "padding": padding, "dilation": (1, 1)}
        return relay.nn.conv2d(data, weight, **{**call.attrs, **changed})

    return convolution


def _by_image(data: relay.Expr, weight: relay.Expr, convolution: Convolution, convolve: Callable) -> relay.Expr:
    images, channels, *size = convolution.data
    outputs, *kernel = convolution.kernel
    steps, padding = convolution.dilation, convolution.padding
    begins, ends = padding[:2], padding[2:]
    inside = all(side % step == 0 for side, step in zip(padding, (*steps, *steps), strict=True))
    if inside:
        padding = tuple(side // step for side, step in zip(padding, (*steps, *steps), strict=True))
        begins = ends = (0, 0)
    else:
        padding = (0, 0, 0, 0)
    whole = [
        -(-(begin + extent + end) // step) for begin, extent, end, step in zip(begins, size, ends, steps, strict=True)
    ]
    after = [
        count * step - extent - begin for count, step, extent, begin in zip(whole, steps, size, begins, strict=True)
    ]
    if any((*begins, *after)):
        data = relay.nn.pad(data, ((0, 0), (0, 0), *zip(begins, after, strict=True)))
    (rows, columns), (down, right) = whole, steps
    data = relay.reshape(data, (images, channels, rows, down, columns, right))
    data = relay.reshape(relay.transpose(data, (3, 5, 0, 1, 2, 4)), (-1, channels, rows, columns))
    sums = convolve(data, weight, kernel, padding)
    top, left, bottom, side = padding
    rows, columns = rows + top + bottom - kernel[0] + 1, columns + left + side - kernel[1] + 1
    sums = relay.reshape(sums, (down, right, images, outputs, rows, columns))
    sums = relay.reshape(relay.transpose(sums, (2, 3, 4, 0, 5, 1)), (images, outputs, rows * down, columns * right))
    if (rows * down, columns * right) == convolution.out:
        return sums
    return relay.strided_slice(sums, (0, 0), convolution.out, strides=(1, 1), axes=(2, 3))


def _by_position(data: relay.Expr, weight: relay.Expr, convolution: Convolution, convolve: Callable) -> relay.Expr:
    terms = []
    for position in product(*map(range, convolution.kernel[1:])):
        places = [_reading(convolution, axis, at) for axis, at in enumerate(position)]
        if any(begin >= end for begin, end, _ in places):
            continue
        (top, bottom, down), (left, right, beside) = places
        read = relay.strided_slice(data, (top + down, left + beside), (bottom + down, right + beside), (1, 1), (2, 3))
        one = relay.strided_slice(weight, position, [at + 1 for at in position], (1, 1), (2, 3))
        (height, width) = convolution.out
        around = ((top, height - bottom), (left, width - right))
        terms.append(relay.nn.pad(convolve(read, one, (1, 1), (0, 0, 0, 0)), ((0, 0), (0, 0), *around)))
    return reduce(relay.add, terms)


def _reading(convolution: Convolution, axis: int, position: int) -> tuple[int, int, int]:
    """The outputs from `begin` to `end` that read data by a `position` of the kernel, and how far away that data is."""
    shift = position * convolution.dilation[axis] - convolution.padding[axis]
    begin, end = max(0, -shift), min(convolution.out[axis], convolution.data[2 + axis] - shift)
    return begin, end, shift


def _share_of_data(convolution: Convolution) -> float:
    """The share of the products that do not read padding."""
    share = 1.0
    for axis in (0, 1):
        places = [_reading(convolution, axis, position) for position in range(convolution.kernel[1 + axis])]
        reads = sum(max(0, end - begin) for begin, end, _ in places)
        share *= reads / (convolution.out[axis] * convolution.kernel[1 + axis])
    return share
