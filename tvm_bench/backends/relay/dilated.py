"""A pass for dilated convolutions: they are computed as convolutions without dilation, which have faster schedules.

With dilation 2, an output reads every second pixel of every second row: the pixels fall into four images that share
nothing (Chen et al. 2018, "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and
Fully Connected CRFs", TPAMI, arXiv:1606.00915, section 3.1). With a dilation nearly as large as the image, most of
what the kernel reads is padding: then each of its positions is a pointwise convolution of the pixels that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product

from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, name_of
from .schedules import conv_workload
from .schedules.conv_workload import Convolution

MOSTLY_PADDING = 0.6  # share of the products that read data, below which the positions are computed one by one
LEAST_SIZE = 4  # rows and columns of the outputs of each small image


@as_pass
class DilatedConvolutions(ExprMutator):
    """Rewrites those in NCHW with stride 1 and one group."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "nn.conv2d" or call.attrs.data_layout != "NCHW" or call.attrs.kernel_layout != "OIHW":
            return new
        convolution = conv_workload.of(call.attrs, *(argument.checked_type for argument in call.args))
        if convolution.groups > 1 or set(convolution.strides) != {1} or set(convolution.dilation) == {1}:
            return new
        data, weight = new.args
        if _share_of_data(convolution) < MOSTLY_PADDING:
            return _by_position(data, weight, convolution, _convolution(call))
        if any(size < LEAST_SIZE * step for size, step in zip(convolution.out, convolution.dilation, strict=True)):
            return new
        return _by_image(data, weight, convolution, _convolution(call))


def _convolution(call: relay.Call) -> Callable:
    """A function that makes a convolution like `call`, but undilated: of data, weights and padding."""

    def convolution(data: relay.Expr, weight: relay.Expr, kernel: Sequence[int], padding: Sequence[int]) -> relay.Call:
        changed = {"kernel_size": kernel, "padding": padding, "dilation": (1, 1)}
        return relay.nn.conv2d(data, weight, **{**call.attrs, **changed})

    return convolution


def _by_image(data: relay.Expr, weight: relay.Expr, convolution: Convolution, convolve: Callable) -> relay.Expr:
    """The convolution of as many small images as there are positions within a step, which are put together again."""
    images, channels, *size = convolution.data
    outputs, *kernel = convolution.kernel
    steps, (top, left, bottom, right) = convolution.dilation, convolution.padding
    around, inside = [(top, bottom), (left, right)], [0] * 4
    if all(side % step == 0 for sides, step in zip(around, steps, strict=True) for side in sides):
        around, inside = (
            [(0, 0), (0, 0)],
            [side // steps[axis % 2] for axis, side in enumerate(convolution.padding)],
        )
    size = [extent + sum(sides) for extent, sides in zip(size, around, strict=True)]
    parts = [-(-extent // step) for extent, step in zip(size, steps, strict=True)]
    more = [part * step - extent for part, step, extent in zip(parts, steps, size, strict=True)]
    data = _padded(data, [(before, after + rest) for (before, after), rest in zip(around, more, strict=True)])
    data = relay.reshape(data, (images, channels, parts[0], steps[0], parts[1], steps[1]))
    data = relay.reshape(relay.transpose(data, (3, 5, 0, 1, 2, 4)), (-1, channels, *parts))
    sums = convolve(data, weight, kernel, inside)
    rows, columns = (inside[a] + parts[a] + inside[a + 2] - kernel[a] + 1 for a in (0, 1))
    sums = relay.reshape(sums, (*steps, images, outputs, rows, columns))
    whole = (rows * steps[0], columns * steps[1])
    sums = relay.reshape(relay.transpose(sums, (2, 3, 4, 0, 5, 1)), (images, outputs, *whole))
    return sums if whole == convolution.out else _cut(sums, (0, 0), convolution.out)


def _by_position(data: relay.Expr, weight: relay.Expr, convolution: Convolution, convolve: Callable) -> relay.Expr:
    """The sum of a pointwise convolution for each position of the kernel, of the part of the data that it reads."""
    size, (height, width) = convolution.data[2:], convolution.out
    terms = []
    for position in product(*map(range, convolution.kernel[1:])):
        (top, bottom, down), (left, right, beside) = (_reading(convolution, *pair) for pair in enumerate(position))
        if top >= bottom or left >= right:
            continue
        begins, ends = (top + down, left + beside), (bottom + down, right + beside)
        read = data if (begins, ends) == ((0, 0), size) else _cut(data, begins, ends)
        one = _cut(weight, position, [at + 1 for at in position])
        term = convolve(read, one, (1, 1), (0, 0, 0, 0))
        terms.append(_padded(term, [(top, height - bottom), (left, width - right)]))
    return reduce(relay.add, terms)


def _padded(values: relay.Expr, around: Sequence[tuple[int, int]]) -> relay.Expr:
    """The values with zeros before and after the rows and the columns."""
    return relay.nn.pad(values, ((0, 0), (0, 0), *around)) if any(map(any, around)) else values


def _cut(values: relay.Expr, begins: Sequence[int], ends: Sequence[int]) -> relay.Expr:
    """The rows and columns from `begins` to `ends`."""
    return relay.strided_slice(values, begins, ends, strides=(1, 1), axes=(2, 3))


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
