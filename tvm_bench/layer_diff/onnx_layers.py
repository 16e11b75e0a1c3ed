"""The layers of an ONNX graph: operators with their fused activation and quantization, and the tensors between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from .layer import Layer, Quantization

# Part of the layer before it, if nothing else reads that layer's output.
ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh")
PLUMBING = ("QuantizeLinear", "DequantizeLinear", "Cast")
# Of these types are the tensors between layers; others, such as shapes, must stay constants for Relay.
VALUES = (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8)


class Graph:
    """An ONNX model with its layers in execution order. The sizes of its inputs must be fixed."""

    def __init__(self, model: onnx.ModelProto):
        self.model = onnx.shape_inference.infer_shapes(model)
        self.nodes = list(self.model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.producers = {name: node for node in self.nodes for name in node.output if name}
        self.constants = self._constants()
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in set(node.input):
                self.consumers[name].append(node)

    @cached_property
    def inputs(self) -> list[str]:
        """The names of the model's inputs, without weights."""
        return [value.name for value in self.model.graph.input if value.name not in self.initializers]

    @cached_property
    def layers(self) -> list[Layer]:
        """All layers. Each output of the model is the output of a layer."""
        outputs = [name for node in self.nodes for name in node.output if self._is_boundary(name)]
        boundaries = {*outputs, *self.inputs}
        return [self.layer(name, boundaries) for name in outputs]

    def between(self, output: str, inputs: set[str]) -> list[onnx.NodeProto]:
        """The nodes that compute the tensor `output` from the tensors `inputs` and from constants, in order."""
        names, new = set(), {output}
        while new:
            names |= new
            new = {
                name for known in new - inputs if known in self.producers for name in _read(self.producers[known])
            } - names
        wanted = names - inputs | {output}
        return [node for node in self.nodes if wanted & set(node.output)]

    def constant(self, name: str) -> np.ndarray:
        """The value of an initializer or of a Constant node, or of a copy of them."""
        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])
        if self.producers[name].op_type == "Identity":
            return self.constant(self.producers[name].input[0])
        (attribute,) = self.producers[name].attribute
        return numpy_helper.to_array(attribute.t)

    def _constants(self) -> set[str]:
        constants = set(self.initializers)
        for node in self.nodes:
            if all(name in constants for name in _read(node)):
                constants.update(node.output)
        return constants

    @cached_property
    def _types(self) -> Mapping[str, int]:
        graph = self.model.graph
        return {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of tensors, as far as they are known."""
        graph = self.model.graph
        values = {v.name: v.type.tensor_type.shape.dim for v in (*graph.value_info, *graph.input, *graph.output)}
        return {name: tuple(size.dim_value for size in sizes) for name, sizes in values.items()}

    def _is_boundary(self, name: str) -> bool:
        if not name or name in self.constants:
            return False
        if name in (value.name for value in self.model.graph.output):
            return True
        node, readers = self.producers[name], self.consumers[name]
        if not readers or self._types.get(name, TensorProto.FLOAT) not in VALUES:
            return False
        if node.op_type == "QuantizeLinear":
            return True
        if node.op_type == "DequantizeLinear":
            return False
        if {reader.op_type for reader in readers} == {"QuantizeLinear"}:
            return False
        fused = len(readers) == 1 and readers[0].op_type in ACTIVATIONS and not _is_activation(node)
        return not fused

    def layer(self, output: str, boundaries: set[str]) -> Layer:
        """The layer that computes the tensor `output` from others of the tensors `boundaries`."""
        nodes = self.between(output, boundaries - {output})
        live = [node for node in nodes if not set(node.output) <= self.constants]
        made = {name for node in live for name in node.output}
        inputs = dict.fromkeys(n for node in live for n in _read(node) if n not in made and n not in self.constants)
        last = self.producers[output]
        quantizes = last.op_type == "QuantizeLinear"
        return Layer(
            name=_main(live).name or output,
            operators=tuple(node.op_type for node in live),
            inputs=tuple(inputs),
            output=output,
            real=last.input[0] if quantizes else None,
            quantization=self.quantization(last) if quantizes else self._dequantization(output),
        )

    def _dequantization(self, name: str) -> Quantization | None:
        """That with which an integer tensor is read, such as the output of a maximum of integers."""
        readers = [node for node in self.consumers[name] if node.op_type == "DequantizeLinear"]
        return self.quantization(readers[0]) if readers else None

    def quantization(self, node: onnx.NodeProto) -> Quantization:
        """The scale and the zero point of a node that quantizes or dequantizes."""
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        scale = self.constant(node.input[1])
        has_zero = len(node.input) > 2 and node.input[2]
        zero = self.constant(node.input[2]) if has_zero else np.zeros(scale.shape, np.uint8)
        return Quantization(scale, zero, axis, str(zero.dtype))


def _main(nodes: list[onnx.NodeProto]) -> onnx.NodeProto:
    """The node that names a layer: the first that does not only change the type."""
    return next((node for node in nodes if node.op_type not in PLUMBING), nodes[-1])


def _is_activation(node: onnx.NodeProto) -> bool:
    return node.op_type in ACTIVATIONS


def _read(node: onnx.NodeProto) -> Iterator[str]:
    return (name for name in node.input if name)
