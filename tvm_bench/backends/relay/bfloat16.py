"""BF16: convolutions multiply bfloat16 values and add the products up in float32.

bfloat16 has the range of FP32 and eight bits of its precision; it needs no calibration. The data of a convolution is
stored in BF16 by the operator that computes it, and all readers get these rounded values. Its bits are a uint16.
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import in_order, name_of
from .schedules import conv_workload, direct_conv
from .schedules.bf16_dot import BITS, KIND
from .target import features

LOWER = 16  # bits of a float32 that a bfloat16 lacks
BELOW_HALF = 2 ** (LOWER - 1) - 1  # of the last bit that is kept
KEPT = ("strides", "padding", "dilation", "groups", "channels", "kernel_size")  # attributes of a convolution


@relay.transform.function_pass(opt_level=0)
class Bfloat16:
    """Computes convolutions with constant weights in BF16, where the current target can. Needs types."""

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        convolutions: list[relay.Call] = []
        relay.analysis.post_order_visit(function, lambda node: convolutions.extend([node] if _fits(node) else []))
        return in_order(_Bfloat16(convolutions), function)


@relay.transform.function_pass(opt_level=0)
class Bfloat16Casts:
    """Computes casts to BF16 and back, and the convolutions behind them in BF16 where the target can. Needs types.

    `exporters.bfloat16_rounding` writes these casts. On other targets they only round.
    """

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        casts: list[relay.Call] = []
        relay.analysis.post_order_visit(function, lambda node: casts.extend([node] if _rounds(node) else []))
        if not casts:
            return function
        convolutions: list[relay.Call] = []

        def visit(node: relay.Expr) -> None:
            if name_of(node) == "nn.conv2d" and node.args[0] in casts and _fits(node):
                convolutions.append(node)

        if KIND.feature in features(tvm.target.Target.current()):
            relay.analysis.post_order_visit(function, visit)
        return in_order(_Bfloat16(convolutions, casts), function)


class _Bfloat16(ExprMutator):
    """Computes `convolutions` in BF16, and rounds their data; or, with `casts`, what these casts round."""

    def __init__(self, convolutions: list[relay.Call], casts: list[relay.Call] | None = None):
        super().__init__()
        self.convolutions, self.casts = set(convolutions), set(casts or ())
        inputs = {call.args[0] for call in convolutions if isinstance(call.args[0], relay.Call)}
        self.rounded = self.casts or inputs
        self.bits: dict[relay.Expr, relay.Expr] = {}  # of rounded values, by these

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = self.visit(call.args[0].args[0]) if call in self.casts else super().visit_call(call)
        if call in self.convolutions:
            new = self._convolution(new)
        if call not in self.rounded:
            return new
        bits = _bits(new)
        new = _widened(bits)
        self.bits[new] = bits
        return new

    def _convolution(self, new: relay.Call) -> relay.Call:
        data, weight = new.args
        attributes = {name: new.attrs[name] for name in KEPT}
        bits = self.bits.get(data) or _bits(data)
        return relay.nn.conv2d(bits, relay.const(numpy_bits(weight.data.numpy())), **attributes, out_dtype="float32")


def _fits(node: relay.Expr) -> bool:
    if name_of(node) != "nn.conv2d" or not isinstance(node.args[1], relay.Constant):
        return False
    if (node.attrs.data_layout, node.attrs.kernel_layout) != ("NCHW", "OIHW"):
        return False
    convolution = conv_workload.of(node.attrs, *(argument.checked_type for argument in node.args))
    return convolution.dtype == "fp32" and bool(direct_conv.tiles(convolution.in_bf16()))


def _rounds(node: relay.Expr) -> bool:
    """Whether it casts a float32 value to BF16 and back."""
    if name_of(node) != "cast" or node.attrs.dtype != "float32":
        return False
    (inner,) = node.args
    return (
        name_of(inner) == "cast" and inner.attrs.dtype == "bfloat16" and inner.args[0].checked_type.dtype == "float32"
    )


def numpy_bits(values: np.ndarray) -> np.ndarray:
    """The bits of float32 values in BF16, as uint16: rounded to the nearest, ties to even."""
    words = values.view(np.uint32)
    return ((words + (words >> LOWER & 1) + BELOW_HALF) >> LOWER).astype(BITS)


def _bits(value: relay.Expr) -> relay.Expr:
    """The bits of a value in Relay, ties away from zero. A NaN may become an infinity or a zero.

    Ties to even would read the value twice, which TVM would bind to a name: LLVM rejects names of vectors.
    """
    words = relay.reinterpret(value, "int32") + _word(BELOW_HALF + 1)
    return relay.cast(relay.right_shift(words, _word(LOWER)), BITS)


def _widened(bits: relay.Expr) -> relay.Expr:
    words = relay.left_shift(relay.cast(bits, "int32"), _word(LOWER))
    return relay.reinterpret(words, "float32")


def _word(value: int) -> relay.Constant:
    return relay.const(value, "int32")
