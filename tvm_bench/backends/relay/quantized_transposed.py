"""A pass for quantized transposed convolutions: they become quantized convolutions, as those in FP32 do.

TVM 0.19 casts their data and weights to 16 bits, puts zeros between the data, and has no schedule for such sums.
"""

from __future__ import annotations

from functools import partial

from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, is_scalar, name_of, number
from .schedules import transposed_conv


@as_pass
class TransposedConvolutions(ExprMutator):
    """Rewrites those of uint8 data, and of int8 weights with zero point 0."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if not _is_transposed(call):
            return new
        data, weight, *parameters = new.args
        types = [call.args[0].checked_type, call.args[1].checked_type, call.checked_type]
        # The sums of integers do not depend on the scales; those of the weights may be one for each output channel.
        scale = relay.const(1.0)
        zeros = {"input_zero_point": parameters[0], "kernel_zero_point": parameters[1]}
        convolve = partial(relay.qnn.op.conv2d, **zeros, input_scale=scale, kernel_scale=scale, out_dtype="int32")
        return transposed_conv.as_convolution(call.attrs, [data, weight], types, convolve) or new


def _is_transposed(call: relay.Call) -> bool:
    """Whether this is such a convolution."""
    if name_of(call) != "qnn.conv2d_transpose":
        return False
    data, weight, *zeros = call.args[:4]
    types = (data.checked_type.dtype, weight.checked_type.dtype, str(call.attrs.out_dtype))
    return types == ("uint8", "int8", "int32") and all(map(is_scalar, zeros)) and number(zeros[1]) == 0
