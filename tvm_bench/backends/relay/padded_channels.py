"""Convolutions whose number of channels does not divide into blocks: their weights get filters of zeros.

122 channels would be blocks of 2, far from a vector. 128 are eight blocks of 16, and six channels are not used. These
are cut off where an operator needs the real number. Convolutions and operators on single values take all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tvm import relay
from tvm.relay.expr_functor import ExprMutator
from tvm.topi.utils import get_const_tuple

from .calls import Shape, as_pass, name_of, shape_of
from .schedules.register_tile import HALF_BLOCK

BLOCK = 16
MOST_WASTE = 1.15  # of padded to real channels, for whole blocks; else half ones
# They keep a channel of zeros finite, so that its weights of zero remove it. Divisors are constants.
ON_VALUES = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "nn.bias_add", "clip", "cast", "reinterpret"),
    *("nn.relu", "sigmoid", "tanh", "erf", "exp", "negative", "round"),
}
ON_PIXELS = {"nn.max_pool2d", "nn.avg_pool2d", "nn.adaptive_avg_pool2d", "nn.global_avg_pool2d", "nn.pad"}


def padded_count(channels: int) -> int:
    """The number of channels that a convolution computes."""
    if channels < HALF_BLOCK or channels % HALF_BLOCK == 0:
        return channels
    whole = -(-channels // BLOCK) * BLOCK
    return whole if whole <= MOST_WASTE * channels else -(-channels // HALF_BLOCK) * HALF_BLOCK


@dataclass(frozen=True)
class _Padded:
    """A value with `count` channels, of which the first `real` are used."""

    value: relay.Expr
    real: int
    count: int


@as_pass
class PaddedChannels(ExprMutator):
    """Pads the channels of convolutions in NCHW with constant weights. Needs types."""

    def __init__(self) -> None:
        super().__init__()
        self.padded: dict[relay.Expr, _Padded] = {}  # by the expression that cuts off the unused channels

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new, name = super().visit_call(call), name_of(call)
        if name == "nn.conv2d" and isinstance(new.args[1], relay.Constant):
            return self._convolution(call, new)
        data = self.padded.get(new.args[0]) if new.args else None
        if name in ON_PIXELS and data and _keeps_channels(call):
            return self._cut(relay.Call(call.op, [data.value, *new.args[1:]], call.attrs), data)
        return self._on_values(call, new) if name in ON_VALUES else new

    def _convolution(self, call: relay.Call, new: relay.Call) -> relay.Expr:
        attrs, weight = call.attrs, new.args[1].data.numpy()
        outputs, inputs = weight.shape[:2]
        if attrs.data_layout != "NCHW" or attrs.kernel_layout != "OIHW":
            return new
        data = self.padded.get(new.args[0])
        groups, depthwise = int(attrs.groups), int(attrs.groups) == outputs > 1 and inputs == 1
        if depthwise and data and data.real == outputs:
            out, into, groups = data.count, 1, data.count
        elif groups == 1:
            out, into = padded_count(outputs), data.count if data else inputs
        else:
            return new
        if (out, into) == (outputs, inputs):
            return new
        weight = np.pad(weight, ((0, out - outputs), (0, into - inputs), (0, 0), (0, 0)))
        options = {name: attrs[name] for name in ("strides", "padding", "dilation", "out_dtype")}
        kernel = {"groups": groups, "channels": out, "kernel_size": weight.shape[2:]}
        result = relay.nn.conv2d(data.value if data else new.args[0], relay.const(weight), **options, **kernel)
        return self._cut(result, _Padded(result, outputs, out)) if out > outputs else result

    def _on_values(self, call: relay.Call, new: relay.Call) -> relay.Expr:
        """The operator on all channels, if each argument has them, or is a constant that can be padded."""
        data = next((self.padded[argument] for argument in new.args if argument in self.padded), None)
        shape = shape_of(call)
        if not data or len(shape) != 4 or shape[1] != data.real:
            return new
        arguments = [self._argument(call, i, argument, data) for i, argument in enumerate(new.args)]
        if not all(arguments):
            return new
        return self._cut(relay.Call(call.op, arguments, call.attrs), data)

    def _argument(self, call: relay.Call, position: int, new: relay.Expr, data: _Padded) -> relay.Expr | None:
        if new in self.padded:
            other = self.padded[new]
            divides = name_of(call) == "divide" and position == 1
            return other.value if (other.real, other.count) == (data.real, data.count) and not divides else None
        if not isinstance(new, relay.Constant):
            return None
        value, shape = new.data.numpy(), shape_of(call.args[position])
        axis = 0 if name_of(call) == "nn.bias_add" else len(shape) - 3
        if axis < 0 or shape[axis] == 1:
            return new if name_of(call) != "nn.bias_add" else None
        fill = 1 if name_of(call) == "divide" else 0
        width = [(0, data.count - data.real if i == axis else 0) for i in range(len(shape))]
        return relay.const(np.pad(value, width, constant_values=fill))

    def _cut(self, value: relay.Expr, data: _Padded) -> relay.Expr:
        result = relay.strided_slice(value, [0], [data.real], axes=[1])
        self.padded[result] = _Padded(value, data.real, data.count)
        return result


def _keeps_channels(call: relay.Call) -> bool:
    if name_of(call) == "nn.pad":
        return _pairs(call)[:2] == [(0, 0), (0, 0)]
    return call.attrs.layout == "NCHW"


def _pairs(pad: relay.Call) -> Sequence[Shape]:
    return [get_const_tuple(pair) for pair in pad.attrs.pad_width]
