"""The table with which MNN's converter turns the layers of an FP32 file into INT8.

MNN spreads the steps at the ends of these layers over poolings and moves of values. Layers whose steps it would spread
too far stay in FP32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx

from .qdq_steps import ACTIVATIONS, LAYERS, QuantizedLayer, Steps

AVERAGES = ("AveragePool", "GlobalAveragePool", "ReduceMean", "Resize")
MAXIMUM = "MaxPool"  # MNN's is right for values that are not negative, with zero at the integer 0
SPREAD = (*ACTIVATIONS, *AVERAGES, MAXIMUM, "Flatten", "Reshape", "Transpose")
SUM = "Add"
LAST_SUFFIX = "__before_tr"  # what it appends to an output of the model
ENDS = {"bits": 8, "clamp_min": -128, "clamp_max": 127}


def table(floats: onnx.ModelProto, layers: Iterable[QuantizedLayer]) -> dict[str, Any]:
    """The table for the model `floats` and its quantized `layers`, as MNN reads it from JSON."""
    graph = _Graph(floats.graph)
    described = [entry for layer in layers for entry in _entries(graph, layer)]
    return {"version": "0.0.0", "algo": [{"type": "QUANTIZE", "quant_params": {"layer": described}}]}


class _Graph:
    def __init__(self, graph: onnx.GraphProto):
        self.producers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def before(self, layer: QuantizedLayer) -> Steps | None:
        """The steps of what `layer` reads; None: MNN has none that are right."""
        node, passed = self.producers.get(layer.data), set[str]()
        while node is not None and node.op_type in SPREAD:
            passed.add(node.op_type)
            node = self.producers.get(node.input[0])
        if passed.intersection(AVERAGES):  # what is averaged would be clipped where averages end
            return None
        if MAXIMUM in passed:
            return layer.before.around_zero if layer.before.never_negative else None
        if node is None or node.op_type in LAYERS:
            return layer.before
        if layer.dense and node.op_type != SUM:  # MNN refuses to run it
            return None
        return layer.before.around_zero  # MNN's sum with a ReLU ends at the integer 0, wherever zero is

    def after(self, layer: QuantizedLayer) -> Steps | None:
        """The steps of what `layer` writes; None: MNN has none that are right."""
        following = [*self._following(layer.output)]
        kinds = {node.op_type for node in following}
        if layer.after is None or kinds.intersection(AVERAGES):
            return None
        if MAXIMUM not in kinds:
            return layer.after
        pooled = [node.output[0] for node in following if node.op_type == MAXIMUM]
        readers = {reader.op_type for name in pooled for reader in self.readers.get(name, [])}
        return layer.after.around_zero if layer.after.never_negative and readers <= {*LAYERS, SUM} else None

    def _following(self, output: str) -> Iterator[onnx.NodeProto]:
        """The readers of a tensor, and those of what activations make of it."""
        for node in self.readers.get(output, []):
            yield node
            if node.op_type in ACTIVATIONS:
                yield from self._following(node.output[0])


def _entries(graph: _Graph, layer: QuantizedLayer) -> Iterator[dict[str, Any]]:
    """It computes in INT8 if both ends are INT8. It names a layer by its output before or after the activation."""
    before, after = graph.before(layer), graph.after(layer)
    if before is None or after is None:
        return
    scales = np.broadcast_to(layer.of_weights.scale.ravel(), layer.channels).tolist()
    for output in dict.fromkeys(
        f"{name}{suffix}" for name in (layer.output, layer.activated) for suffix in ("", LAST_SUFFIX)
    ):
        yield {
            "input": [_activations("input", before)],
            "weight": [{"name": layer.weights, "scales": scales, **ENDS}],
            "output": [_activations(output, after)],
        }


def _activations(name: str, steps: Steps) -> dict[str, Any]:
    return {"name": name, "scales": [float(steps.scale.max())], "zero_point": steps.zero, **ENDS}
