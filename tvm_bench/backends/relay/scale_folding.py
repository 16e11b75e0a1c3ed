"""Folding of scales into the weights of convolutions, as of batch norms; but not those that are computed.

TVM's `FoldScaleAxis` also folds the scale of a squeeze-and-excitation: each inference then scales the weights of the
next convolution and transforms their layout. Where a convolution has more channels than pixels, it takes less time to
scale its data.
"""

from __future__ import annotations

import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, name_of, shape_of
from .folding import FoldWithNumPy
from .sequence import in_sequence

TVMS_PASS = "FoldScaleAxis"


def fold_scales(module: tvm.IRModule) -> tvm.IRModule:
    """Fold scales into weights; afterwards `relay.build` has to leave out `TVMS_PASS`."""
    steps = [
        relay.transform.SimplifyInference(),
        FoldWithNumPy(),
        _Hidden(),
        relay.transform.FoldScaleAxis(),
        _Shown(),
        FoldWithNumPy(),
    ]
    with tvm.transform.PassContext(opt_level=3):
        return in_sequence(steps, module)


@as_pass
class _Hidden(ExprMutator):
    """Broadcasts each computed scale of small images to five axes, where TVM's pass does not see it."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "multiply" or len(call.checked_type.shape) != 4:
            return new
        shape = shape_of(call)
        scales = [shape_of(argument) == (*shape[:2], 1, 1) for argument in call.args]
        constant = any(isinstance(argument, relay.Constant) for argument in call.args)
        pixels = shape[2] * shape[3]
        if constant or not any(scales) or not (pixels < shape[1] or pixels == 1):
            return new
        data, scale = new.args if scales[1] else reversed(new.args)
        return relay.squeeze(relay.multiply(data, relay.broadcast_to(scale, (1, *shape))), axis=[0])


@as_pass
class _Shown(ExprMutator):
    """Takes these broadcasts out again: a multiplication broadcasts by itself."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        product = call.args[0] if name_of(call) == "squeeze" else call
        if product != call and name_of(product) == "multiply" and name_of(product.args[1]) == "broadcast_to":
            return relay.multiply(self.visit(product.args[0]), self.visit(product.args[1].args[0]))
        return super().visit_call(call)
