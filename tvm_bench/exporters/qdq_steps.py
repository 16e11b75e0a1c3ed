"""An INT8 ONNX file (QDQ) as an FP32 model and the steps of its quantized layers, for converters that want both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
LAYERS = ("Conv", "Gemm")
ACTIVATIONS = ("Relu", "Clip")
FOLDED = ("Constant", "ConstantOfShape", "Identity", "Cast")  # of constants
NEVER_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax")
# If no input of these is negative, no output is.
SIGN_KEPT = ("MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose", "Concat", "Add")


@dataclass(frozen=True)
class Steps:
    """A value is (integer - `zero`) * `scale`: one scale, or one a channel. `zero` is in INT8, from -128 to 127."""

    scale: np.ndarray
    zero: int = 0

    @property
    def bound(self) -> float:
        """The largest magnitude of a value."""
        return float(self.scale.max() * max(127 - self.zero, self.zero + 128))

    @property
    def around_zero(self) -> Steps:
        """Steps without a zero point for the same largest magnitude."""
        return Steps(np.array(self.bound / 127))

    @property
    def never_negative(self) -> bool:
        """Whether no value is below zero."""
        return self.zero == -128


@dataclass(frozen=True)
class QuantizedLayer:
    """A convolution or dense layer, by the names of its input `data`, of its constant `weights` and of its `output`.

    `activated` is its output after the activation (the same without one), `before` and `after` are the steps of what
    it reads and of that output (None: not quantized). `channels` are those of its output; `dense`: no convolution.
    """

    data: str
    weights: str
    output: str
    activated: str
    channels: int
    dense: bool
    before: Steps
    of_weights: Steps
    after: Steps | None


def floats_of(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[QuantizedLayer]]:
    """The FP32 model without the rounding of activations, and its quantized layers. Weights stay rounded.

    Activations that ONNX Runtime left out, because a quantizer clips already, are back.
    """
    graph = _Floats(model.graph)
    floats = onnx.ModelProto()
    floats.CopyFrom(model)
    for field in (floats.graph.node, floats.graph.initializer, floats.graph.value_info):
        del field[:]
    floats.graph.node.extend(graph.nodes)
    read = {name for node in graph.nodes for name in node.input}
    constants = {name: array for name, array in graph.constants.items() if name in read}
    floats.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return floats, graph.layers()


def by_channel(node: onnx.NodeProto, weights: np.ndarray) -> np.ndarray:
    """The `weights` of a convolution or dense layer, the channels of its output first."""
    transposed = node.op_type == "Conv" or any(part.name == "transB" and part.i for part in node.attribute)
    return weights if transposed else weights.T


class _Floats:
    def __init__(self, graph: onnx.GraphProto):
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.steps: dict[str, Steps] = {}
        self.integers: dict[str, str] = {}  # the FP32 tensors by what is quantized
        self.names: dict[str, str] = {}  # and by what is dequantized
        self.activated: dict[str, str] = {}  # by the tensor before an activation
        self.never_negative = {value.name for value in graph.input}
        steps = {QUANTIZE: self._quantize, DEQUANTIZE: self._dequantize}
        for node in graph.node:
            if node.op_type in FOLDED and all(name in self.constants for name in node.input):
                values = {name: self.constants[name] for name in node.input}
                results: Any = ReferenceEvaluator(node).run(None, values)
                self.constants[node.output[0]] = np.asarray(results[0])
            elif node.op_type == "Cast" and node.input[0] in self.integers:
                self.integers[node.output[0]] = self.integers[node.input[0]]
            else:
                steps.get(node.op_type, self._copy)(node)
        self._keep_names({value.name for value in graph.output})

    def layers(self) -> list[QuantizedLayer]:
        """The quantized layers in execution order."""
        found = []
        readers = Counter(name for node in self.nodes for name in node.input)
        for node in self.nodes:
            if node.op_type in ACTIVATIONS and readers[node.input[0]] == 1:
                self.activated[node.input[0]] = node.output[0]
        for node in self.nodes:
            if node.op_type in LAYERS and all(name in self.steps for name in node.input[:2]):
                data, weights, output = node.input[0], node.input[1], node.output[0]
                activated = self.activated.get(output, output)
                found.append(
                    QuantizedLayer(
                        data=data,
                        weights=weights,
                        output=output,
                        activated=activated,
                        channels=len(by_channel(node, self.constants[weights])),
                        dense=node.op_type != "Conv",
                        before=self.steps[data],
                        of_weights=self.steps[weights],
                        after=self.steps.get(activated),
                    )
                )
        return found

    def _copy(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.names.get(name, name) for name in node.input]
        self.nodes.append(copy)
        computed = [name for name in copy.input if name not in self.constants]
        if node.op_type in NEVER_NEGATIVE or (node.op_type in SIGN_KEPT and self.never_negative.issuperset(computed)):
            self.never_negative.update(node.output)

    def _quantize(self, node: onnx.NodeProto) -> None:
        name, steps = self.names.get(node.input[0], node.input[0]), self._steps(node)
        if steps.never_negative and name not in self.never_negative:
            name = self._activate(name, steps)
        self.steps[name] = steps
        self.integers[node.output[0]] = name

    def _activate(self, name: str, steps: Steps) -> str:
        if name not in self.activated:
            self.activated[name] = activated = f"{name}_activated"
            self.never_negative.add(activated)
            if np.isclose(steps.bound, 6):  # where ReLU6 ends
                ends = {f"{activated}_least": np.float32(0), f"{activated}_most": np.float32(6)}
                self.constants |= {end: np.array(value) for end, value in ends.items()}
                self.nodes.append(helper.make_node("Clip", [name, *ends], [activated]))
            else:
                self.nodes.append(helper.make_node("Relu", [name], [activated]))
        return self.activated[name]

    def _dequantize(self, node: onnx.NodeProto) -> None:
        integers = self.constants.get(node.input[0])
        if integers is None:
            self.names[node.output[0]] = self.integers[node.input[0]]
            return
        steps, axis = self._steps(node), next((part.i for part in node.attribute if part.name == "axis"), 1)
        shape = [-1 if i == axis else 1 for i in range(integers.ndim)] if steps.scale.size > 1 else []
        zeros = self.constants[node.input[2]].astype(np.int32) if len(node.input) > 2 else np.int32(0)
        differences = (integers - zeros.reshape(shape)).astype(np.float32)
        self.constants[node.output[0]] = differences * steps.scale.reshape(shape)
        self.steps[node.output[0]] = steps

    def _steps(self, node: onnx.NodeProto) -> Steps:
        zeros = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.uint8)
        return Steps(self.constants[node.input[1]], int(zeros.flat[0]) - 128 * (zeros.dtype == np.uint8))

    def _keep_names(self, outputs: set[str]) -> None:
        """Give the outputs of the model, which were dequantized, their names."""
        back = {self.names[output]: output for output in outputs if output in self.names}
        for node in self.nodes:
            for field in (node.input, node.output):
                field[:] = [back.get(name, name) for name in field]
        self.steps |= {back[name]: steps for name, steps in self.steps.items() if name in back}
        self.activated |= {back[name]: to for name, to in self.activated.items() if name in back}
        self.activated |= {name: back[to] for name, to in self.activated.items() if to in back}
