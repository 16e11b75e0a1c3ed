"""A pass for quantized grouped convolutions: they are computed in INT8.

TVM 0.19 casts their data and weights to 32 bits (`Conv2DFallBack`), unless they are depthwise.
"""

from __future__ import annotations

from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, is_scalar, name_of, number, shape_of


@as_pass
class GroupedConvolutions(ExprMutator):
    """Lowers those of uint8 data, and of int8 weights with zero point 0, to `nn.conv2d` of the same types."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        if not _is_grouped(call):
            return super().visit_call(call)
        data, weight, zero = *map(self.visit, call.args[:2]), number(call.args[2])
        attributes, padding = call.attrs, call.attrs.padding
        if zero and any(padding):
            top, left, bottom, right = (int(side) for side in padding)
            data = relay.nn.pad(data, ((0, 0), (0, 0), (top, bottom), (left, right)), pad_value=float(zero))
            padding = (0, 0, 0, 0)
        output = relay.nn.conv2d(
            data,
            weight,
            strides=attributes.strides,
            padding=padding,
            dilation=attributes.dilation,
            groups=attributes.groups,
            channels=attributes.channels,
            kernel_size=attributes.kernel_size,
            out_dtype="int32",
        )
        if not zero:
            return output
        # Each product is (data - zero) * weight: the part of the zero point is the same for all positions.
        sums = relay.sum(relay.cast(weight, "int32"), axis=(1, 2, 3))
        return output - relay.expand_dims(sums * relay.const(zero, "int32"), axis=1, num_newaxis=2)


def _is_grouped(call: relay.Call) -> bool:
    """Whether this is such a convolution."""
    if name_of(call) != "qnn.conv2d":
        return False
    data, weight, *zeros = call.args[:4]
    types = (data.checked_type.dtype, weight.checked_type.dtype)
    layouts = (call.attrs.data_layout, call.attrs.kernel_layout)
    scalars = all(map(is_scalar, zeros)) and number(zeros[1]) == 0
    integer = types == ("uint8", "int8") and layouts == ("NCHW", "OIHW") and scalars
    return integer and 1 < call.attrs.groups != shape_of(data)[1]
