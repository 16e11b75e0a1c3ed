"""Rewrites a quantized TorchScript graph for Relay's PyTorch front end, which converts many of its operators wrongly.

TVM 0.19 clips the bytes of a quantized ReLU6 to 0 and 6, for example, and lacks `quantized::batch_norm2d`. Such an
operator becomes dequantize -> the operator in float -> quantize, as PyTorch defines it. Relay fuses the three into one
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch._C import Node, Value

from ...exporters.trace_constants import attribute
from .torch_operators import (
    FIXED,
    FLOATS,
    JOINS,
    LIMITED,
    ON_BYTES,
    RIGHT,
    SCALARS,
    Float,
    Grid,
    byte_of,
    product_grid,
    sum_grid,
)

QUINT8 = 13  # number of `torch.quint8` in TorchScript


def rewrite(traced: torch.jit.ScriptModule, *, limits: bool = True) -> None:
    """Inline the graph of `traced`, and rewrite its quantized operators in place.

    Without `limits`, those of clips stay as they are, and PyTorch can run the result; Relay needs them in bytes.
    """
    torch._C._jit_pass_inline(traced.graph)
    rewriter = _Rewriter(traced, limits=limits)
    for node in list(traced.graph.nodes()):
        rewriter.visit(node)
    torch._C._jit_pass_dce(traced.graph)  # TVM rejects quantized constants, also if nothing uses them


class _Rewriter:
    """The graph of `traced`, and the grid of each quantized value that has been visited, by name."""

    def __init__(self, traced: torch.jit.ScriptModule, *, limits: bool):
        self.traced = traced
        self.graph = traced.graph
        self.limits = limits
        self.grids: dict[str, Grid] = {}

    def visit(self, node: Node) -> None:
        """Rewrite `node`, whose inputs have been visited."""
        kind, inputs = node.kind(), list(node.inputs())
        grid = next((self.grids[value.debugName()] for value in inputs if value.debugName() in self.grids), None)
        if kind == "prim::GetAttr":
            self._name_no_scale(node)
        elif grid and kind in SCALARS and len(inputs) == 2:
            self._with_number(node, inputs, grid)
        elif kind in RIGHT:
            self._set(node, self._grid(inputs, RIGHT[kind]))
        elif grid is None or kind == "aten::dequantize":
            return
        elif kind in ON_BYTES or (kind == "aten::avg_pool2d" and not self._pads(inputs)):
            self._set(node, grid)
        elif kind in JOINS:
            self._join(node, grid)
        elif kind.removesuffix("_") in LIMITED:
            self._limit(node, inputs, grid)
        elif kind in FLOATS:
            self._in_float(node, FLOATS[kind], inputs)
        elif node.outputsSize() == 1 and isinstance(node.output().type(), torch._C.TensorType):
            everything = tuple(range(len(inputs)))
            self._in_float(node, Float(kind, everything, 0), inputs, FIXED.get(kind.removesuffix("_"), grid))

    def _name_no_scale(self, node: Node) -> None:
        """Make constants of weights such as `layer_scale`: TVM takes them for scales of a quantization."""
        name = node.s("name")
        if "_scale" in name or "_zero_point" in name:
            weight = attribute(self.traced, node.output())
            if isinstance(weight, torch.Tensor) and weight.numel() > 1:
                with self.graph.insert_point_guard(node):
                    node.output().replaceAllUsesWith(self._new_constant(weight.detach()))

    def _in_float(self, node: Node, version: Float, inputs: list[Value], grid: Grid | None = None) -> None:
        """Replace `node` by its float version, between dequantization and quantization to `grid`."""
        grid = grid or self._grid(inputs, version.scale)
        with self.graph.insert_point_guard(node):
            values = [
                self._new_constant(entry[0]) if isinstance(entry, tuple) else self._dequantized(inputs[entry])
                for entry in version.inputs
            ]
            result = self._insert(version.name, values)
            if version.relu:
                result = self._insert("aten::relu", [result])
            self._replace(node, self._quantized(result, grid), grid)

    def _with_number(self, node: Node, inputs: list[Value], grid: Grid) -> None:
        data, constant = inputs if inputs[0].debugName() in self.grids else reversed(inputs)
        name, number = SCALARS[node.kind()], float(self._constant(constant))
        adds, relu = name == "aten::add", node.kind().endswith("_relu")
        order = (0, 1, (1,)) if adds else (0, 1)
        grid = (sum_grid if adds else product_grid)(grid, number)
        self._in_float(node, Float(name, order, 0, relu=relu), [data, constant], grid)

    def _limit(self, node: Node, inputs: list[Value], grid: Grid) -> None:
        """Clip the bytes of the input to the limits in steps of its grid."""
        if not self.limits:
            return self._set(node, grid)
        limits = LIMITED[node.kind().removesuffix("_")] or [self._constant(value) for value in inputs[1:3]]
        with self.graph.insert_point_guard(node):
            constants = [self._new_constant(float(byte_of(limit, grid))) for limit in limits]
            self._replace(node, self._insert("aten::hardtanh", [inputs[0], *constants]), grid)

    def _join(self, node: Node, grid: Grid) -> None:
        """Bring all inputs to the grid of the first, which PyTorch gives the output."""
        parts = node.inputsAt(0).node()
        with self.graph.insert_point_guard(parts):
            for i, value in enumerate(parts.inputs()):
                if self.grids[value.debugName()] != grid:
                    parts.replaceInput(i, self._quantized(self._dequantized(value), grid))
        self._set(node, grid)

    def _pads(self, inputs: list[Value]) -> bool:
        """Whether an average pooling pads: Relay would pad the bytes with 0 instead of the zero point."""
        padding, ceil_mode = map(self._constant, inputs[3:5])
        return ceil_mode or any(padding)

    def _dequantized(self, value: Value) -> Value:
        if value.debugName() in self.grids:
            return self._insert("aten::dequantize", [value])
        constant = value.toIValue() if value.node().kind() == "prim::Constant" else None
        if isinstance(constant, torch.Tensor) and constant.is_quantized:  # as the weights of PReLU
            return self._new_constant(constant.dequantize())
        return value

    def _quantized(self, value: Value, grid: Grid) -> Value:
        constants = [self._new_constant(number) for number in (*grid, QUINT8)]
        return self._insert("aten::quantize_per_tensor", [value, *constants])

    def _insert(self, kind: str, inputs: Sequence[Value]) -> Value:
        return self.graph.insertNode(self.graph.create(kind, list(inputs), 1)).output()

    def _new_constant(self, value: Any) -> Value:
        return self.graph.insertConstant(value)  # type: ignore[attr-defined]  # missing in torch's stubs

    def _replace(self, node: Node, value: Value, grid: Grid) -> None:
        node.output().replaceAllUsesWith(value)
        node.destroy()
        self.grids[value.debugName()] = grid

    def _set(self, node: Node, grid: Grid) -> None:
        self.grids |= {value.debugName(): grid for value in node.outputs()}

    def _grid(self, inputs: list[Value], position: int) -> Grid:
        scale, zero = map(self._constant, inputs[position : position + 2])
        return float(scale), int(zero)

    def _constant(self, value: Value) -> Any:
        """The number or list that `value` is: a constant, or an attribute of the module."""
        if value.node().kind() == "prim::ListConstruct":
            return [self._constant(entry) for entry in value.node().inputs()]
        return attribute(self.traced, value) if value.node().kind() == "prim::GetAttr" else value.toIValue()
