"""Passes over the part of a transformer between convolutions: its values are rows, one for each token.

Front ends write a matrix product of three axes as reshape, `nn.dense`, reshape, which keeps the bias and the activation
from being fused into the product. `AsRows` moves such reshapes behind what can be fused, and replaces layer norm
and attention by the project's operators.
"""

from __future__ import annotations

from math import prod

import numpy as np
import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .attention_match import Attention, attention_of
from .calls import Shape, in_order, is_reshape, name_of, shape_of
from .schedules import attention, layer_norm

ELEMENTWISE = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "power"),
    *("exp", "erf", "tanh", "sigmoid", "sqrt", "rsqrt", "negative", "round", "clip", "cast", "nn.relu"),
)


@relay.transform.function_pass(opt_level=0)
class AsRows:
    """Computes on rows, without reshapes between kernels. Needs types."""

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        if any(isinstance(size, tvm.tir.Any) for parameter in function.params for size in parameter.checked_type.shape):
            return function
        return in_order(_Rows(), function)


class _Rows(ExprMutator):
    def __init__(self) -> None:
        super().__init__()
        # By the new expression of a reshape: its input, and the shape of that.
        self.reshaped: dict[relay.Expr, tuple[relay.Expr, Shape]] = {}

    def visit_call(self, call: relay.Call) -> relay.Expr:
        if match := attention_of(call):
            return self._attention(match)
        if _is_layer_norm(call):
            return self._layer_norm(call)
        new = super().visit_call(call)
        if is_reshape(call):
            return self._reshape(new.args[0], shape_of(call.args[0]), shape_of(call))
        if name_of(call) in ELEMENTWISE or _adds_to_last_axis(call):
            return self._elementwise(call, new)
        return self._dense(call, new) if name_of(call) == "nn.batch_matmul" else new

    def _dense(self, call: relay.Call, new: relay.Call) -> relay.Expr:
        """A product of several matrices with one constant matrix as one product of all their rows."""
        data, weight = call.args
        if call.attrs.transpose_a or not isinstance(weight, relay.Constant) or shape_of(weight)[0] != 1:
            return new
        matrix = weight.data.numpy()[0]
        outputs, inputs = (matrix if call.attrs.transpose_b else matrix.T).shape
        rows = self._reshape(new.args[0], shape_of(data), (prod(shape_of(data)[:-1]), inputs))
        constant = relay.const(np.ascontiguousarray(matrix if call.attrs.transpose_b else matrix.T))
        result = relay.nn.dense(rows, constant, out_dtype=call.checked_type.dtype)
        return self._reshape(result, (prod(shape_of(data)[:-1]), outputs), shape_of(call))

    def _reshape(self, data: relay.Expr, before: Shape, after: Shape) -> relay.Expr:
        data, before = self.reshaped.get(data, (data, before))
        if before == after:
            return data
        result = relay.reshape(data, after)
        self.reshaped[result] = data, before
        return result

    def _elementwise(self, call: relay.Call, new: relay.Call) -> relay.Expr:
        """The call on rows, reshaped afterwards, if an argument is reshaped rows and the others fit them."""
        out = shape_of(call)
        shapes = [
            self.reshaped[a][1]
            for a, old in zip(new.args, call.args, strict=True)
            if a in self.reshaped and shape_of(old) == out
        ]
        rows = next((s for s in shapes if len(s) == 2 and s[-1] == out[-1]), None)
        if not rows:
            return new
        arguments = [self._on_rows(a, old, out, rows) for a, old in zip(new.args, call.args, strict=True)]
        if not all(arguments):
            return new
        result = relay.add(*arguments) if _adds_to_last_axis(call) else relay.Call(call.op, arguments, call.attrs)
        return self._reshape(result, rows, out)

    def _on_rows(self, new: relay.Expr, old: relay.Expr, out: Shape, rows: Shape) -> relay.Expr | None:
        shape = shape_of(old)
        if shape == out:
            return self._reshape(new, shape, rows)
        if isinstance(new, relay.Constant) and prod(shape) in (1, shape[-1] if shape else 1):
            return relay.const(new.data.numpy().reshape(shape[-1:] if prod(shape) > 1 else ()))
        return None

    def _attention(self, match: Attention) -> relay.Expr:
        query, key, value = (self.visit(expression) for expression in (match.query, match.key, match.value))
        if match.key_transposed:
            key = relay.transpose(key, (0, 2, 1))
        if match.value_transposed:
            value = relay.transpose(value, (0, 2, 1))
        return attention.call(query, key, value, match.bias)

    def _layer_norm(self, call: relay.Call) -> relay.Expr:
        shape = shape_of(call)
        rows = (prod(shape[:-1]), shape[-1])
        data, scale, shift = (self.visit(a) for a in call.args)
        result = layer_norm.call(self._reshape(data, shape, rows), scale, shift, float(call.attrs.epsilon))
        return self._reshape(result, rows, shape)


def _adds_to_last_axis(call: relay.Call) -> bool:
    return name_of(call) == "nn.bias_add" and int(call.attrs.axis) in (-1, len(shape_of(call)) - 1)


def _is_layer_norm(call: relay.Call) -> bool:
    return (
        name_of(call) == "nn.layer_norm"
        and int(call.attrs.axis) in (-1, len(shape_of(call)) - 1)
        and bool(call.attrs.center and call.attrs.scale)
        and call.checked_type.dtype == "float32"
    )
