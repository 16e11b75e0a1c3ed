"""Conversions of PyTorch's operators to Relay that TVM 0.19 lacks, or has wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from tvm import relay
from tvm.relay.frontend import qnn_torch
from tvm.relay.frontend.common import infer_shape

from .calls import name_of
from .rounding import quantized
from .schedules.override import attribute

Converter = Callable[[list, object], relay.Expr]  # of the inputs and their types


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM's front end converts quantized operators by the functions of this file."""
    add_scales = without_scales_of_biases(qnn_torch.add_input_quant_params_to_op_inputs)
    with (
        attribute(qnn_torch, "convert_map", qnn_torch.convert_map | QUANTIZED),  # it wins over a custom map
        attribute(qnn_torch, "_do_bias_and_requantize", in_float),
        attribute(qnn_torch, "add_input_quant_params_to_op_inputs", add_scales),
    ):
        yield


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


def matrix_linear(inputs: list, _: object) -> relay.Expr:
    """`aten::linear` of a matrix."""
    data, weight, bias = inputs
    rows = relay.nn.dense(data, weight)
    return rows if bias is None else relay.nn.bias_add(rows, bias)


def of_any_rank(linear: Converter) -> Converter:
    """The converter `linear`, which takes matrices, for inputs of more dimensions too.

    TVM's own repeats the weights for each matrix: the library of Swin-T had 940 MB in place of 118.
    """

    def convert(inputs: list, types: object) -> relay.Expr:
        shape = infer_shape(inputs[0])
        if len(shape) == 2:
            return linear(inputs, types)
        rows = linear([relay.reshape(inputs[0], (-1, shape[-1])), *inputs[1:]], types)
        return relay.reshape(rows, (*shape[:-1], -1))

    return convert


def in_float(
    output: relay.Expr,
    bias: relay.Expr | None,
    input_scale: relay.Constant,
    weight_scale: relay.Constant,
    output_scale: relay.Constant,
    output_zero_point: relay.Constant,
    with_relu: bool,
) -> relay.Expr:
    """The bytes of the INT32 `output` of a convolution or a linear layer, whose `bias` is FLOAT32, as in PyTorch.

    TVM rounds the bias to the grid of `output`, which moves one in a thousand results to another step.
    """
    spatial = 0 if name_of(output) == "qnn.dense" else 2
    scales = np.float64(input_scale.data.numpy()) * weight_scale.data.numpy()
    zero = output_zero_point.data.numpy().item()
    factors = (scales / output_scale.data.numpy()).astype(np.float32)
    value = relay.cast(output, "float32") * relay.const(factors.reshape(-1, *[1] * spatial))
    if bias is not None:  # (x + bias / scales) * factors, as one multiplication with addition
        parts = bias * relay.const((1 / scales).astype(np.float32)) * relay.const(factors)
        value += relay.expand_dims(parts, -1, spatial)
    return quantized(value, zero, (zero if with_relu else 0, 255), "uint8")


def without_scales_of_biases(add_scales: Callable) -> Callable[[object], dict]:
    """TVM's function, which adds the scales of inputs to the graph, without its result, by which it rounds biases."""

    def add(graph: object) -> dict:
        add_scales(graph)
        return {}

    return add


FLOAT = {"aten::channel_shuffle": channel_shuffle, "aten::linear": of_any_rank(matrix_linear)}
QUANTIZED = {
    "aten::quantize_per_tensor": quantize,
    "aten::dequantize": dequantize,
    "quantized::linear": of_any_rank(qnn_torch._linear()),
    "quantized::linear_relu": of_any_rank(qnn_torch._linear(with_relu=True)),
}
