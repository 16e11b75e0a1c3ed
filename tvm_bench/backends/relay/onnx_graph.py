"""What the rules for the nodes of an ONNX graph read from it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Nodes = list[onnx.NodeProto]
Attributes = dict[str, Any]


class Graph:
    """The shapes and constants of a model whose shapes are fixed."""

    def __init__(self, model: onnx.ModelProto):
        self._model = model
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self._constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t

    @cached_property
    def _shapes(self) -> dict[str, list[int]]:
        graph = onnx.shape_inference.infer_shapes(self._model).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        return {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}

    def shape(self, node: onnx.NodeProto, name: str) -> list[int]:
        """The shape of an input or output of a node. Raises `NotImplementedError` if it is unknown."""
        shape = list(self._constants[name].dims) if name in self._constants else self._shapes.get(name)
        if not shape or 0 in shape:
            raise NotImplementedError(f"{node.op_type} (node '{node.name}') with the unknown shape of '{name}'")
        return shape

    def constant(self, node: onnx.NodeProto, position: int) -> np.ndarray:
        """The value of an input. Raises `NotImplementedError` if it is computed."""
        if node.input[position] not in self._constants:
            raise NotImplementedError(f"{node.op_type} (node '{node.name}') with a computed input {position}")
        return numpy_helper.to_array(self._constants[node.input[position]])
