"""Folding of scales into the weights of convolutions, as of batch norms; but not those that are computed.

TVM's `FoldScaleAxis` also folds the scale of a squeeze-and-excitation: each inference then scales the weights of the
next convolution and transforms their layout. Where a convolution has more channels than pixels, it takes less time to
scale its data.
"""

from __future__ import annotations

import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import in_order, name_of, shape_of
from .folding import FoldWithNumPy

TVMS_PASS = "FoldScaleAxis"


def fold_scales(module: tvm.IRModule) -> tvm.IRModule:
    """Fold scales into weights; afterwards `relay.build` has to leave out `TVMS_PASS`."""
    steps = [
        relay.transform.SimplifyInference(),
        relay.transform.InferType(),
        FoldWithNumPy(),
        relay.transform.InferType(),
        _Hidden(),
        relay.transform.FoldScaleAxis(),
        _Shown(),
        relay.transform.InferType(),
        FoldWithNumPy(),
        relay.transform.InferType(),
    ]
    with tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(steps)(module)


@relay.transform.function_pass(opt_level=0)
class _Hidden:
    """Broadcasts each computed scale of small images to the shape of the data, where TVM's pass does not see it."""

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return in_order(_Hiding(), function)


@relay.transform.function_pass(opt_level=0)
class _Shown:
    """Takes these broadcasts out again: a multiplication broadcasts by itself."""

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return in_order(_Showing(), function)


class _Hiding(ExprMutator):
    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "multiply" or len(call.checked_type.shape) != 4:
            return new
        shape = shape_of(call)
        per_channel = [shape_of(argument) == (*shape[:2], 1, 1) for argument in call.args]
        computed = not any(isinstance(argument, relay.Constant) for argument in call.args)
        if computed and any(per_channel) and shape[2] * shape[3] < shape[1]:
            return relay.multiply(
                *(
                    relay.broadcast_to(argument, shape) if scale else argument
                    for argument, scale in zip(new.args, per_channel, strict=True)
                )
            )
        return new


class _Showing(ExprMutator):
    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "multiply":
            return new
        return relay.multiply(*map(_without_broadcast, new.args))


def _without_broadcast(expression: relay.Expr) -> relay.Expr:
    return expression.args[0] if name_of(expression) == "broadcast_to" else expression
