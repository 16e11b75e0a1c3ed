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
EIGHT_BITS = ("uint8", "int8")
BYTE_RANGE = (-128, 255)  # of signed and unsigned bytes
INTEGERS = 1.5 * 2**23  # from 2**23 to 2**24, float32 has all integers and no fractions


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
    """Quantized sums and averages in float, rounded once and half to even, as ONNX and PyTorch define them.

    TVM rounds each term of `qnn.add` to the grid of the sum, an error that adds up over residual blocks, and cuts off
    the remainder of an integer average, so that every average is too small. With this pass, ResNet-34 at 32 pixels by
    ONNX has its source's class for 997 of 1,000 images instead of 911, in the same time.
    """

    def transform_function(
        self, function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext
    ) -> relay.Function:
        return _Rounding().visit(function)


class _Rounding(ExprMutator):
    def visit_call(self, call: relay.Call) -> relay.Call:
        changed, name = super().visit_call(call), getattr(call.op, "name", "")
        scalars = all(map(_is_scalar, changed.args[2 if name == "qnn.add" else 1 :]))
        dtype = getattr(call.checked_type, "dtype", None)
        if name == "qnn.add" and scalars:
            return _sum(*changed.args, dtype=dtype)
        if name == "qnn.avg_pool2d" and scalars and dtype in EIGHT_BITS:
            return _requantized(_float_pool(changed), *changed.args[1:], dtype=dtype)
        if name == "qnn.requantize" and scalars and dtype in EIGHT_BITS and _is_average(call.args[0]):
            # The argument was an average that is rounded by now; from the one in float, it is rounded once.
            return _requantized(_float_average(self.visit(call.args[0].args[0]), call.args[0]), *changed.args[1:], dtype=dtype)
        if _is_average(call):
            return relay.cast(_half_to_even(_float_average(changed.args[0], call), *BYTE_RANGE), "int32")
        return changed


def _is_average(call: relay.Expr) -> bool:
    """Whether it is an average of quantized values, in their steps."""
    operator = getattr(call, "op", None)
    return getattr(operator, "name", "") in AVERAGES and call.checked_type.dtype == "int32"


def _float_average(data: relay.Expr, average: relay.Call) -> relay.Call:
    return relay.Call(average.op, [relay.cast(data, "float32")], average.attrs)


def _float_pool(pool: relay.Call) -> relay.Call:
    """The average of a `qnn.avg_pool2d`, in steps of its input."""
    names = ("strides", "padding", "dilation", "layout", "out_layout", "ceil_mode", "count_include_pad")
    attributes = {name: pool.attrs[name] for name in names}
    return relay.nn.avg_pool2d(relay.cast(pool.args[0], "float32"), pool.attrs.pool_size, **attributes)


def _sum(left: relay.Expr, right: relay.Expr, *parameters: relay.Constant, dtype: str) -> relay.Expr:
    left_scale, left_zero, right_scale, right_zero, scale, zero = map(_number, parameters)
    left = (relay.cast(left, "float32") - relay.const(float(left_zero))) * relay.const(left_scale / scale)
    right = (relay.cast(right, "float32") - relay.const(float(right_zero))) * relay.const(right_scale / scale)
    return _quantized(left + right, zero, dtype)


def _requantized(value: relay.Expr, *parameters: relay.Constant, dtype: str) -> relay.Expr:
    """`value` in float steps of one scale, in steps of another."""
    from_scale, from_zero, scale, zero = map(_number, parameters)
    return _quantized((value - relay.const(float(from_zero))) * relay.const(from_scale / scale), zero, dtype)


def _quantized(value: relay.Expr, zero: float, dtype: str) -> relay.Expr:
    """`value` in float steps, rounded; then `zero` is added, in this order, which matters for an odd zero point."""
    limits = np.iinfo(dtype)
    return relay.cast(_half_to_even(value, limits.min - zero, limits.max - zero) + relay.const(float(zero)), dtype)


def _half_to_even(value: relay.Expr, lowest: float, highest: float) -> relay.Expr:
    """`value` rounded half to even, between two integers. Relay has only `round`, half away from zero.

    Adding a number so large that float32 has no fractions there rounds half to even, and costs less than `round`. TVM
    would fold `(value + n) - n` into `value`; the limits are between the two to prevent it.
    """
    limited = relay.clip(value + relay.const(INTEGERS), INTEGERS + lowest, INTEGERS + highest)
    return limited - relay.const(INTEGERS)


def _number(constant: relay.Constant) -> float:
    return constant.data.numpy().item()


def _is_scalar(expression: relay.Expr) -> bool:
    return isinstance(expression, relay.Constant) and expression.data.numpy().size == 1


def _scalar(expression: relay.Expr) -> relay.Expr:
    if isinstance(expression, relay.Constant) and expression.data.shape and not np.any(expression.data.numpy()):
        return relay.const(0, expression.data.dtype)
    return expression
