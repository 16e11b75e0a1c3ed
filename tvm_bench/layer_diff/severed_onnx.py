"""An ONNX model cut between its layers: every layer is fed with what the source model computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from . import exact_average
from .layer import Layer, Values
from .onnx_layers import Graph

SUFFIX = ".onnx"


@dataclass(frozen=True)
class OnnxSource:
    """An ONNX model as the source of a comparison; `run` is ONNX Runtime's, operator by operator."""

    graph: Graph
    suffix = SUFFIX

    @classmethod
    def of(cls, path: Path) -> OnnxSource:
        """The model in a file whose input sizes are fixed."""
        return cls(Graph(onnx.load(path)))

    @cached_property
    def layers(self) -> list[Layer]:
        """Its layers in execution order."""
        return self.graph.layers

    @property
    def inputs(self) -> list[str]:
        """The names of its inputs."""
        return self.graph.inputs

    def record(self, inputs: Values, names: Iterable[str] | None = None) -> Values:
        """The values of the tensors `names` (None: of all outputs of layers), and the inputs."""
        names = [layer.output for layer in self.layers] if names is None else names
        return recorded(self.graph, names, inputs)

    def write_part(self, path: Path, outputs: list[str], cuts: set[str], values: Values) -> dict[str, str]:
        """Write the part that computes `outputs` from `cuts`. Returns the tensor for each of its inputs."""
        model, fed = part(self.graph, outputs, cuts | set(self.inputs), values)
        onnx.save(model, path)
        return fed

    def exact(self, layer: Layer, values: Values) -> np.ndarray | None:
        """The output of a quantized average pooling by exact sums; None for any other layer."""
        if layer.operators != exact_average.OPERATORS or not layer.quantization:
            return None
        pool = self.graph.producers[self.graph.producers[layer.output].input[0]]
        before = self.graph.quantization(self.graph.producers[pool.input[0]])
        return exact_average.average_pool(values[layer.inputs[0]], pool, before, layer.quantization)

    def run(self, inputs: list[Values]) -> list[np.ndarray]:
        """The first output for each of the `inputs`, operator by operator."""
        session = _session(self.graph.model, optimized=False)
        return [session.run(None, image)[0] for image in inputs]

    def run_otherwise(self, inputs: list[Values]) -> list[np.ndarray]:
        """The same with ONNX Runtime's graph optimizations: it fuses operators, and rounds between others."""
        session = _session(self.graph.model, optimized=True)
        return [session.run(None, image)[0] for image in inputs]


def recorded(graph: Graph, names: Iterable[str], feeds: Values) -> Values:
    """The `feeds`, and the tensors `names` by ONNX Runtime, operator by operator as ONNX defines them."""
    names = list(dict.fromkeys(name for name in names if name not in feeds))
    if not names:
        return feeds
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return {**feeds, **dict(zip(names, _session(model, optimized=False).run(None, feeds), strict=True))}


def run(model: onnx.ModelProto, fed: Mapping[str, str], values: Sequence[Values]) -> list[Values]:
    """The outputs of a `part` for each of `values`, by ONNX Runtime. `fed` is the tensor for each of its inputs."""
    session, names = _session(model, optimized=False), [value.name for value in model.graph.output]
    feeds = ({name: image[tensor] for name, tensor in fed.items()} for image in values)
    return [dict(zip(names, session.run(None, feed), strict=True)) for feed in feeds]


def _session(model: onnx.ModelProto, *, optimized: bool) -> onnxruntime.InferenceSession:
    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.log_severity_level = 3  # it warns of unused weights
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def part(
    graph: Graph, outputs: list[str], cuts: set[str], values: Mapping[str, np.ndarray]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The part of the model that computes the tensors `outputs` from the tensors `cuts`, which are its inputs.

    A tensor may be both: then it is an output, and those who read it read an input instead. `values` are tensors of
    the source model with the right types and shapes. Returns the model, and the tensor for each of its inputs.
    """
    wanted = {id(node) for name in outputs for node in graph.between(name, cuts - {name})}
    fed: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if id(node) not in wanted:
            continue
        node, original = onnx.NodeProto(), node
        node.CopyFrom(original)
        for index, name in enumerate(node.input):
            if name in cuts and name not in graph.constants:
                node.input[index] = fed.setdefault(name, name if name in graph.inputs else f"fed{len(fed)}")
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    types = {name: helper.np_dtype_to_tensor_dtype(values[name].dtype) for name in {*fed, *outputs}}
    made = helper.make_graph(
        nodes,
        "severed",
        [helper.make_tensor_value_info(new, types[old], values[old].shape) for old, new in fed.items()],
        [helper.make_tensor_value_info(name, types[name], values[name].shape) for name in outputs],
        [tensor for name, tensor in graph.initializers.items() if name in used],
    )
    model = helper.make_model(made, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)
    return model, {new: old for old, new in fed.items()}
