"""Reshapes and transposes of data that is quantized by channel, such as the product with a matrix of INT8 weights.

TVM 0.19 leaves the axis of the channels where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

from tvm import relay
from tvm.relay.frontend.common import infer_shape
from tvm.relay.transform.fake_quantization_to_integer import TensorAffineType
from tvm.topi.utils import get_const_tuple

from .calls import RESHAPES, Shape, is_scalar, name_of
from .quantized_clip import replaced_rule


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM's `FakeQuantizationToInteger` reshapes by the rule of this file."""
    with ExitStack() as stack:
        for operator in (*RESHAPES, "transpose"):
            stack.enter_context(replaced_rule(operator, _reshape))
        yield


def _reshape(call: relay.Call, types: Mapping[relay.Expr, Any], tvms: Callable) -> Any:
    """The reshape, with the channels on their new axis. If they are mixed, the data gets the grid of the output first.

    By TVM's rule if the data has one grid.
    """
    data, grid = call.args[0], types[call.args[0]]
    if is_scalar(grid.scale) and is_scalar(grid.zero_point):
        return tvms(call, types)
    axis = _new_axis(call, infer_shape(data), infer_shape(call), grid.axis)
    if axis is not None:
        return [call, TensorAffineType(grid.scale, grid.zero_point, grid.dtype, axis)]
    out = types[call]
    parameters = grid.scale, grid.zero_point, out.scale, out.zero_point
    requantized = relay.qnn.op.requantize(data, *parameters, axis=grid.axis, out_dtype=out.dtype)
    return [relay.Call(call.op, [requantized], call.attrs), out]


def _new_axis(call: relay.Call, before: Shape, after: Shape, axis: int) -> int | None:
    """Where the axis is after the call; None if it is no axis of its own there."""
    axis %= len(before)
    if name_of(call) == "transpose":
        axes = get_const_tuple(call.attrs.axes or ()) or tuple(reversed(range(len(before))))
        return axes.index(axis)
    size, behind = before[axis], prod(before[axis + 1 :])
    return next((i for i, s in enumerate(after) if s == size and prod(after[i + 1 :]) == behind), None)
