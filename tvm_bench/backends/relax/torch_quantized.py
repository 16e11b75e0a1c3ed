"""What PT2E writes into a program, `quantized_decomposed`, as Relax's `quantize` and `dequantize`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # defines the operators
from torch.fx import Node
from tvm import relax

Converter = Callable[[Node, Any], relax.Expr]
DTYPES = {torch.uint8: "uint8", torch.int8: "int8"}


def converters(program: torch.export.ExportedProgram) -> dict[str, Converter]:
    """The converters for TVM's front end, by the names of operators in `program`."""
    buffers = program.graph_signature.inputs_to_buffers

    def of_channels(node: Node, importer: Any) -> relax.Expr:
        arguments: Any = node.args
        data, scales, zeros, axis, _, _, dtype = arguments
        scale, zero = (program.state_dict[buffers[source.name]].numpy() for source in (scales, zeros))
        return _dequantized(importer, data, scale, zero, dtype, axis)

    return {
        "quantize_per_tensor.default": _quantize,
        "dequantize_per_tensor.default": _dequantize,
        "dequantize_per_channel.default": of_channels,
    }


def _quantize(node: Node, importer: Any) -> relax.Expr:
    arguments: Any = node.args
    data, scale, zero, low, high, dtype = arguments
    value, limits = importer.env[data], torch.iinfo(dtype)
    # With fewer bits than the type has, the value is clipped: Relax's operator knows the limits of the type only.
    if high < limits.max:
        value = relax.op.minimum(value, relax.const((high - zero) * scale, "float32"))
    if low > limits.min:
        value = relax.op.maximum(value, relax.const((low - zero) * scale, "float32"))
    parameters = relax.const(scale, "float32"), relax.const(zero, DTYPES[dtype])
    return importer.block_builder.emit(relax.op.quantize(value, *parameters, out_dtype=DTYPES[dtype]))


def _dequantize(node: Node, importer: Any) -> relax.Expr:
    arguments: Any = node.args
    data, scale, zero, _, _, dtype = arguments
    return _dequantized(importer, data, scale, zero, dtype)


def _dequantized(importer: Any, data: Node, scale: Any, zero: Any, dtype: torch.dtype, axis: int = -1) -> relax.Expr:
    parameters = relax.const(scale, "float32"), relax.const(zero, DTYPES[dtype])
    call = relax.op.dequantize(importer.env[data], *parameters, axis=axis, out_dtype="float32")
    return importer.block_builder.emit(call)
