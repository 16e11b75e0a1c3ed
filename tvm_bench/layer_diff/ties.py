"""Roundings that may go either way: a mean of a few integers is often halfway between two."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .layer import Quantization
from .onnx_layers import Graph

TIE = 1e-2  # of a step: what the order of float sums may change before a rounding


def shifted(model: onnx.ModelProto, graph: Graph, steps: float) -> onnx.ModelProto:
    """A part of `graph` as a `model`, with `steps` added to whatever it rounds."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.op_type == "QuantizeLinear" and node.input[0] not in graph.constants:
            shift, copy.input[0] = f"{node.name}.shift", f"{node.name}.shifted"
            value = np.float32(steps) * graph.constant(node.input[1])
            result.graph.initializer.append(numpy_helper.from_array(value, shift))
            result.graph.node.append(helper.make_node("Add", [node.input[0], shift], [copy.input[0]]))
        result.graph.node.append(copy)
    return result


def without_ties(
    quantization: Quantization, ours: np.ndarray, theirs: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """`ours`, but `theirs` where both are right: between `low` and `high`, which are ours, shifted by less than a tie.

    All are integers, or floats on the grid of the `quantization`.
    """
    if ours.shape != theirs.shape:
        return ours
    right, first, second = map(quantization.steps, (theirs, low, high))
    return np.where((np.minimum(first, second) <= right) & (right <= np.maximum(first, second)), theirs, ours)
