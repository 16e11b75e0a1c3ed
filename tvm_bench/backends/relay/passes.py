"""Step 5: the project's own passes over a Relay module, before `relay.build` runs TVM's.

What each is worth on ResNet-18 in INT8 (docs/graph.md): scalar zero points 0.83 ms of 5.83 by ONNX, folded pads 0.02 ms
of 4.60 by PyTorch. Layouts are a condition, not a gain: TVM's fast schedules start from NCHW.
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

# Pooling is not named: told its layout, it would no longer follow the blocked one (NCHW16c) that its neighbours get,
# and pay two transforms for it.
CONVOLUTIONS = ("nn.conv2d", "qnn.conv2d")
AVERAGES = ("nn.avg_pool2d", "nn.adaptive_avg_pool2d", "nn.global_avg_pool2d")


def lower_quantization(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """QDQ pairs and `qnn.*` operators become integer arithmetic, in the types that `target` is fast in."""
    steps = [
        relay.transform.InferType(),
        _ScalarZeroPoints(),
        relay.transform.FakeQuantizationToInteger(),
        relay.transform.InferType(),
        _RoundedOnce(),
        relay.transform.InferType(),
        relay.qnn.transform.Legalize(),
        relay.qnn.transform.CanonicalizeOps(),
        relay.transform.FoldConstant(),
        # Lowering pads with the zero point in a kernel of its own; where that is 0, the convolution can do it.
        relay.transform.FoldExplicitPadding(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(steps)(module)


def convert_layouts(module: tvm.IRModule, wanted: str = "NCHW") -> tvm.IRModule:
    """Convolutions to the layout that their schedules start from; nothing where they have it already.

    TVM's default schedules for x86 want NCHW, AutoScheduler NHWC. INT8 stays NCHW: TVM 0.19 has no NHWC convolution
    that uses VNNI.
    """
    if _convolution_layouts(module) <= {wanted}:
        return module
    layouts = {name: [wanted, "default"] for name in CONVOLUTIONS}
    with tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential([relay.transform.ConvertLayout(layouts), relay.transform.InferType()])(module)


def _convolution_layouts(module: tvm.IRModule) -> set[str]:
    found: set[str] = set()

    def visit(node: relay.Expr) -> None:
        if isinstance(node, relay.Call) and getattr(node.op, "name", "") in CONVOLUTIONS:
            found.add(str(node.attrs.data_layout))

    relay.analysis.post_order_visit(module["main"], visit)
    return found


@relay.transform.function_pass(opt_level=0)
class _ScalarZeroPoints:
    """Per-channel zero points that are all zero become one scalar zero, as symmetric weights have them.

    ONNX Runtime writes a vector of zeros; with it, every convolution keeps its terms of zero-point correction.
    """

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return _ZeroVectors().visit(function)


class _ZeroVectors(ExprMutator):
    ZERO_POINTS = {"qnn.dequantize": (2,), "qnn.quantize": (2,)}

    def visit_call(self, call: relay.Call) -> relay.Call:
        call = super().visit_call(call)
        positions = self.ZERO_POINTS.get(getattr(call.op, "name", ""), ())
        arguments = [_scalar(a) if i in positions else a for i, a in enumerate(call.args)]
        return relay.Call(call.op, arguments, call.attrs, call.type_args, call.span)


@relay.transform.function_pass(opt_level=0)
class _RoundedOnce:
    """Quantized sums and averages in float, rounded once, as PyTorch and ONNX Runtime compute them.

    TVM rounds each term of `qnn.add` to the grid of the sum, a noise that adds up over residual blocks, and cuts off
    what an average in integers leaves over, which makes all of them too small. Of 1,000 pictures, ResNet-34 at 32
    pixels by ONNX has its source's class for 997 and not for 911, in the same time.
    """

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return _Rounding().visit(function)


class _Rounding(ExprMutator):
    def visit_call(self, call: relay.Call) -> relay.Call:
        changed, name = super().visit_call(call), getattr(call.op, "name", "")
        if name == "qnn.add" and all(map(_is_scalar, changed.args[2:])):
            return _sum(*changed.args, dtype=call.checked_type.dtype)
        if name in AVERAGES and call.checked_type.dtype == "int32":
            average = relay.Call(call.op, [relay.cast(changed.args[0], "float32")], call.attrs)
            return relay.cast(relay.round(average), "int32")
        return changed


def _sum(left: relay.Expr, right: relay.Expr, *terms: relay.Constant, dtype: str) -> relay.Expr:
    left_scale, left_zero, right_scale, right_zero, scale, zero = (term.data.numpy().item() for term in terms)
    left = (relay.cast(left, "float32") - relay.const(float(left_zero))) * relay.const(left_scale / scale)
    right = (relay.cast(right, "float32") - relay.const(float(right_zero))) * relay.const(right_scale / scale)
    limits = np.iinfo(dtype)
    return relay.cast(relay.clip(relay.round(left + right + relay.const(float(zero))), limits.min, limits.max), dtype)


def _is_scalar(expression: relay.Expr) -> bool:
    return isinstance(expression, relay.Constant) and expression.data.numpy().size == 1


def _scalar(expression: relay.Expr) -> relay.Expr:
    if isinstance(expression, relay.Constant) and expression.data.shape and not np.any(expression.data.numpy()):
        return relay.const(0, expression.data.dtype)
    return expression
