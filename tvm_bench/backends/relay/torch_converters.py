"""Conversions of PyTorch's operators to Relay that TVM 0.19 lacks, or has wrongly."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relay
from tvm.relay.frontend import qnn_torch
from tvm.relay.frontend.common import infer_shape

Converter = Callable[[list, object], relay.Expr]  # of the inputs and their types


def channel_shuffle(inputs: list, _: object) -> relay.Expr:
    """`aten::channel_shuffle` of (batch, channels, …)."""
    data, groups = inputs
    batch, channels, *sizes = infer_shape(data)
    grouped = relay.reshape(data, (batch, groups, channels // groups, *sizes))
    return relay.reshape(relay.transpose(grouped, (0, 2, 1, *range(3, 3 + len(sizes)))), (batch, channels, *sizes))


def dequantize(inputs: list, _: object) -> relay.Expr:
    """`aten::dequantize` in float arithmetic.

    The pass FakeQuantizationToInteger, which rounds otherwise than PyTorch, leaves this as it is.
    """
    data, scale, zero = inputs
    return (relay.cast(data, "float32") - relay.const(float(zero))) * relay.const(float(scale))


def quantize(inputs: list, _: object) -> relay.Expr:
    """`aten::quantize_per_tensor`. TVM's own infers the type of all that comes before, which takes minutes."""
    return relay.qnn.op.quantize(inputs[0], relay.const(inputs[1]), relay.const(inputs[2]), out_dtype="uint8")


def of_any_rank(linear: Converter) -> Converter:
    """TVM's converter `linear`, which takes matrices, for inputs of more dimensions too."""

    def convert(inputs: list, types: object) -> relay.Expr:
        shape = infer_shape(inputs[0])
        if len(shape) == 2:
            return linear(inputs, types)
        rows = linear([relay.reshape(inputs[0], (-1, shape[-1])), *inputs[1:]], types)
        return relay.reshape(rows, (*shape[:-1], -1))

    return convert


MISSING = {"aten::channel_shuffle": channel_shuffle}
WRONG = {
    "aten::quantize_per_tensor": quantize,
    "aten::dequantize": dequantize,
    "quantized::linear": of_any_rank(qnn_torch._linear()),
    "quantized::linear_relu": of_any_rank(qnn_torch._linear(with_relu=True)),
}
qnn_torch.convert_map |= WRONG  # TVM's own converters of quantized operators win over a custom map
