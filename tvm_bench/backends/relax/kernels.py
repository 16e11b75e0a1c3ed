"""The kernels of a build, as the manifest stores them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
from tvm import relax, s_tir, tirx

from ...spec import layer_name
from ...spec.schedule_source import DEFAULT
from .ir_dump import calls_of

DIRECT, WINOGRAD, DEPTHWISE, DOTS = "direct", "winograd4", "depthwise", "dot products"  # schedules
MATMUL = "matmul"  # the block of Relax's own product of matrices


@dataclass(frozen=True)
class Layer:
    """A convolution: what it computes, the number of its operations, the type of its products and its schedule."""

    name: str
    operations: float
    dtype: str
    schedule: str

    @classmethod
    def of(cls, call: relax.Call, schedule: str) -> Layer:
        """The layer of a call of `conv2d`, as it was imported."""
        (_, channels, *_), (outputs, inputs, *kernel), (*_, height, width) = (
            tuple(map(int, kind.shape)) for kind in (call.args[0].ty, call.args[1].ty, call.ty)
        )
        groups, strides = int(call.attrs.groups), tuple(map(int, call.attrs.strides))
        name = layer_name.convolution((channels, outputs), kernel, strides, (height, width), groups)
        products = prod(map(int, call.ty.shape)) * inputs * prod(kernel)
        return cls(name, 2.0 * products, "int8" if schedule == DOTS else "fp32", schedule)

    @classmethod
    def of_product(cls, inputs: int, outputs: int, rows: int) -> Layer:
        """A product of quantized rows and weights."""
        return cls(layer_name.product(inputs, outputs, rows), 2.0 * rows * outputs * inputs, "int8", DOTS)


def of_module(module: tvm.IRModule, layers: dict[str, Layer]) -> dict[str, dict[str, Any]]:
    """The kernels that `main` calls, with the entries of the backend `relay`; `layers` are those in the kernels."""
    kernels: dict[str, dict[str, Any]] = {}
    for _, call in calls_of(module):
        if call.op.name != "relax.call_tir":
            continue
        name = call.args[0].name_hint
        if name in kernels:
            kernels[name]["calls"] += 1
        else:
            kernels[name] = _entry(call, layers, module[name])
    return kernels


def _entry(call: relax.Call, layers: dict[str, Layer], function: tirx.PrimFunc) -> dict[str, Any]:
    constants = [value for value in call.args[1] if isinstance(value, tvm.ir.GenericConst)]
    everything = [value.ty for value in (*call.args[1], call)]
    constant_bytes = sum(_bytes(value.ty) for value in constants)
    entry = {
        "kind": DEFAULT,
        "record": None,
        "calls": 1,
        "data_bytes": sum(map(_bytes, everything)) - constant_bytes,
        "constant_bytes": constant_bytes,
    }
    parts = call.args[0].name_hint.split("_")
    layer = next((layers[part] for part in parts if part in layers), None)
    if layer:
        named = {"convolution": f"{layer.dtype} {layer.name}", "schedule": layer.schedule, "layer": layer.name}
        return {**entry, **named, "operations": layer.operations}
    return entry | _products(function)


def _products(function: tirx.PrimFunc) -> dict[str, Any]:
    """The layer and the operations of the product of matrices in a kernel that was not scheduled yet."""
    kernel = s_tir.Schedule(function)
    for block in map(kernel.get, kernel.get_child_blocks(kernel.get_sblock("root"))):
        if block.name_hint == MATMUL:
            *rows, outputs, inputs = (int(axis.dom.extent) for axis in block.iter_vars)
            name = layer_name.product(inputs, outputs, prod(rows))
            return {"layer": name, "operations": 2.0 * prod(rows) * outputs * inputs}
    return {}


def _bytes(kind: Any) -> int:
    """The size of a tensor, or of the tensors of a tuple."""
    if hasattr(kind, "fields"):
        return sum(map(_bytes, kind.fields))
    return prod(map(int, kind.shape)) * tvm.DataType(str(kind.dtype)).bits // 8
