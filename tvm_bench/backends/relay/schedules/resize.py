"""Bilinear and nearest resizes of images in NCHW and in blocks of channels (NCHW16c).

TVM 0.19 computes the position in the source, four indices and two weights for each output, and loads four numbers, one
after the other. Here a table has the index and the weight of each row and column, and one axis is resized after the
other: along an axis that is not the last, whole vectors are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tvm
from tvm import relay, te, tir
from tvm.relay.op import OpPattern
from tvm.relay.op.image._image import compute_resize2d
from tvm.relay.op.strategy.generic import wrap_topi_schedule
from tvm.target import override_native_generic_func
from tvm.topi.image import resize as tvms
from tvm.topi.utils import get_const_tuple, traverse_inline
from tvm.topi.x86 import schedule_injective

from .override import operator_attribute

OPERATOR = "image.resize2d"
TAG = "resize2d_by_axes"
METHODS = ("linear", "nearest_neighbor")
POSITIONS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn")
LEAST_TASKS = 8  # so that all cores have work
ROW, COLUMN = 2, 3  # axes


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, `relay.build` resizes by this file; operators before a resize are not fused with it.

    They would be computed again for each output.
    """
    strategy = override_native_generic_func(f"{TAG}.strategy")(_strategy)
    with (
        operator_attribute(OPERATOR, "FTVMStrategy", strategy),
        operator_attribute(OPERATOR, "TOpPattern", OpPattern.OUT_ELEMWISE_FUSABLE),
    ):
        yield


def fits(attrs: Any) -> bool:
    """Whether this file has a schedule for the resize: TVM has others too, such as bicubic ones."""
    return attrs.method in METHODS and attrs.coordinate_transformation_mode in POSITIONS and "NCHW" in attrs.layout


def _strategy(
    attrs: Any, inputs: list[te.Tensor], out: relay.TensorType, target: tvm.target.Target
) -> relay.op.OpStrategy:
    result = relay.op.OpStrategy()
    if fits(attrs) and len(inputs[0].shape) <= 5 and all(isinstance(n, tir.IntImm) for n in inputs[0].shape):
        result.add_implementation(_compute, wrap_topi_schedule(_schedule), name="resize_by_axes.x86")
    else:
        result.add_implementation(compute_resize2d, wrap_topi_schedule(schedule_injective), name="resize.x86")
    return result


def _compute(attrs: Any, inputs: list[te.Tensor], out: relay.TensorType) -> list[te.Tensor]:
    """Data (N, C, H, W) or (N, C/16, H, W, 16) -> the same with the height and width `attrs.size`."""
    (data,) = inputs
    images, channels, height, width, *block = get_const_tuple(data.shape)
    sizes = dict(zip((ROW, COLUMN), get_const_tuple(attrs.size), strict=True))
    # Columns first, if the rows of one image are in one task: a row of the source serves several of the output.
    rows_first = block or sizes[ROW] < height or images * channels < LEAST_TASKS
    first, second = (ROW, COLUMN) if rows_first else (COLUMN, ROW)
    half = _along(data, first, sizes[first], attrs, name="half", dtype=None)
    return [_along(half, second, sizes[second], attrs, name="resized", dtype=out.dtype)]


def _along(data: te.Tensor, axis: int, size: int, attrs: Any, *, name: str, dtype: str | None) -> te.Tensor:
    """`data` resized along an axis; cast to `dtype`, if that is given."""
    source, mode = int(data.shape[axis]), attrs.coordinate_transformation_mode
    nearest = attrs.method == "nearest_neighbor"
    repeats = size // source if nearest and mode == "asymmetric" and size % source == 0 else None
    sizes, limits = (tir.const(source), tir.const(size)), (tir.const(0), tir.const(source - 1))

    def position(i: tir.Var) -> tir.PrimExpr:
        """The position in the source of an output, as TVM computes it."""
        return tvms.get_inx(i, *sizes, mode)

    index = te.compute((size,), lambda i: _index(position(i), attrs), name="index")
    low = te.compute((size,), lambda i: tir.Max(limits[0], tir.Min(index[i], limits[1])), name="low")
    high = te.compute((size,), lambda i: tir.Max(limits[0], tir.Min(index[i] + 1, limits[1])), name="high")
    weight = te.compute((size,), lambda i: position(i) - index[i].astype("float32"), name="weight")

    def value(*indices: tir.Var) -> tir.PrimExpr:
        before, i, after = indices[:axis], indices[axis], indices[axis + 1 :]
        result = data(*before, i // repeats if repeats else low[i], *after)
        if not nearest:
            other = data(*before, high[i], *after).astype("float32")
            result = result.astype("float32") * (1.0 - weight[i]) + other * weight[i]
        return result.astype(dtype) if dtype else result

    shape = (*data.shape[:axis], size, *data.shape[axis + 1 :])
    return te.compute(shape, value, name=name, tag=TAG if dtype else "")


def _index(position: tir.PrimExpr, attrs: Any) -> tir.PrimExpr:
    if attrs.method == "linear":
        return te.floor(position).astype("int32")
    corners = attrs.coordinate_transformation_mode == "align_corners"
    return tvms.get_closest_index(position, attrs.rounding_method or ("round" if corners else "floor"), None)


def _schedule(outs: list[te.Tensor]) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule_resize(schedule, op, outs[0].op)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_resize(s: te.Schedule, resize: te.Operation, last: te.Operation) -> None:
    (half,) = (tensor for tensor in resize.input_tensors if tensor.op.name == "half")
    if not resize.same_as(last):
        s[resize].compute_inline()
    rows_first = half.shape[ROW].value == resize.output(0).shape[ROW].value
    image, channel, row, *inner = s[last].op.axis
    task = s[last].fuse(image, channel, row) if rows_first else s[last].fuse(image, channel)
    s[last].parallel(task)
    s[half].compute_at(s[last], task)
    if len(inner) > 1 or not rows_first:
        _vectorize(s[last], inner[-1])
    if len(inner) > 1 or rows_first:
        _vectorize(s[half], s[half].op.axis[-1])


def _vectorize(stage: te.Stage, axis: tir.IterVar) -> None:
    size = int(axis.dom.extent)
    lanes = next(count for count in range(min(size, 16), 0, -1) if size % count == 0)
    _, lane = stage.split(axis, lanes)
    stage.vectorize(lane)
