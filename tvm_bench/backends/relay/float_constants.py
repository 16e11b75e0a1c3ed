"""Sums and products of quantized data with a constant, as of hard-sigmoid and x / 6: they are computed in float32.

TVM's `FakeQuantizationToInteger` rounds the constant to the grid of the data: with a scale of 0.3, it divides by 20
steps of 0.3 in place of 6. In float32, the operator does what ONNX defines: dequantize, compute, quantize.
"""

from __future__ import annotations

import numpy as np
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, name_of

OPERATORS = ("add", "subtract", "multiply", "divide")
# Their sums are in the fine grid of an INT32: a bias loses nothing there, and costs nothing.
ACCUMULATORS = ("nn.conv2d", "nn.conv2d_transpose", "nn.dense", "nn.bias_add")


@as_pass
class FloatConstants(ExprMutator):
    """Hides the constants of `OPERATORS` from `FakeQuantizationToInteger`, which then leaves the operator as it is.

    `copy` hides them: that pass does not know it, and `FoldConstant` takes it out.
    """

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) not in OPERATORS or any(name_of(argument) in ACCUMULATORS for argument in call.args):
            return new
        values = [_value(argument) for argument in call.args]
        if not any(value is not None for value in values):
            return new
        arguments = [
            argument if value is None else relay.copy(relay.const(value))
            for argument, value in zip(new.args, values, strict=True)
        ]
        return relay.Call(new.op, arguments, new.attrs, new.type_args, new.span)


def _value(expression: relay.Expr) -> np.ndarray | None:
    """The value of a float constant, also of a quantized one; None for other expressions and for biases."""
    if isinstance(expression, relay.Constant):
        return expression.data.numpy() if expression.data.dtype == "float32" else None
    if name_of(expression) != "qnn.dequantize" or not all(isinstance(a, relay.Constant) for a in expression.args):
        return None
    data, scale, zero = (argument.data.numpy() for argument in expression.args)
    if data.dtype == np.int32 or scale.size > 1:
        return None
    return (data.astype(np.int32) - zero.reshape(())).astype(np.float32) * scale.reshape(())
