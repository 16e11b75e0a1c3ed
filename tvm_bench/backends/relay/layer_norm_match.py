"""Recognizes layer norm in Relay, where a front end wrote it as means and differences."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay
from tvm.relay.dataflow_pattern import DFPatternCallback, is_constant, is_op, rewrite, wildcard

from .calls import shape_of


@relay.transform.function_pass(opt_level=0)
class LayerNorms:
    """Writes layer norm over the last axis as `nn.layer_norm`. Needs types."""

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return rewrite(_LayerNorm(), function)


class _LayerNorm(DFPatternCallback):
    """As of ONNX's operator LayerNormalization, and of its operators before opset 17."""

    def __init__(self) -> None:
        super().__init__(require_type=True)
        self.data, self.scale, self.shift = wildcard(), is_constant(), is_constant()
        self.epsilon, self.power, self.one = is_constant(), is_constant(), is_constant()
        self.mean = is_op("mean")(self.data)
        centred = is_op("subtract")(self.data, self.mean)
        square = is_op("power")(centred, self.power) | is_op("multiply")(centred, centred)
        variance = is_op("variance")(self.data, self.mean) | is_op("mean")(square)
        deviation = is_op("sqrt")(is_op("add")(variance, self.epsilon))
        factor = is_op("divide")(self.one, deviation)
        norm = is_op("divide")(centred, deviation) | is_op("multiply")(centred, factor)
        self.pattern = is_op("add")(is_op("multiply")(norm, self.scale), self.shift)

    def callback(self, pre: relay.Expr, post: relay.Expr, matched: tvm.ir.container.Map) -> relay.Expr:
        def values(part: relay.dataflow_pattern.DFPattern, default: float) -> np.ndarray:
            return matched[part][0].data.numpy() if part in matched else np.array(default)

        shape, attrs = shape_of(pre), matched[self.mean][0].attrs
        constants = [values(part, 0) for part in (self.scale, self.shift)]
        fits = (
            [int(axis) % len(shape) for axis in attrs.axis or ()] == [len(shape) - 1]
            and bool(attrs.keepdims)
            and not attrs.exclude
            and all(c.size == c.shape[-1] == shape[-1] for c in constants if c.shape)
            and all(c.shape for c in constants)
            and values(self.power, 2) == 2
            and values(self.one, 1) == 1
            and values(self.epsilon, 0).size == 1
        )
        if not fits:
            return post
        scale, shift = (relay.const(c.reshape(-1)) for c in constants)
        return relay.nn.layer_norm(matched[self.data][0], scale, shift, -1, float(values(self.epsilon, 0).item()))
