"""Convolutions of an ONNX file in BF16: their data and weights are rounded, and they are computed in FP32.

The products of rounded values are exact in FP32. A runtime with instructions for BF16 can use them instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

DEQUANTIZE = "DequantizeLinear"


def add(path: Path, convolutions: Sequence[str]) -> None:
    """Round the data and the weights of these nodes of the file `path`, by casts to BF16 and back."""
    if not convolutions:
        return
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.name in convolutions]
    _round_weights(model.graph, nodes)
    _round_data(model.graph, nodes)
    onnx.save(model, path)


def _round_weights(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in nodes:
        weights = torch.from_numpy(numpy_helper.to_array(constants[node.input[1]]).copy())
        rounded = numpy_helper.from_array(weights.bfloat16().float().numpy(), f"{node.name}_bf16_weights")
        graph.initializer.append(rounded)
        node.input[1] = rounded.name
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _round_data(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """All readers of a tensor get the rounded values, so that it is stored once; integers have readers of their own."""
    producers = {name: node for node in graph.node for name in node.output}
    names = {node.name for node in nodes}
    tensors = list(dict.fromkeys(node.input[0] for node in nodes))
    dequantized = {name for name in tensors if name in producers and producers[name].op_type == DEQUANTIZE}
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in tensors and (name not in dequantized or node.name in names):
                node.input[position] = _rounded(name)
    ordered = [*_inserted(name for name in tensors if name not in producers)]
    for node in graph.node:
        ordered += [node, *_inserted(name for name in node.output if name in tensors)]
    del graph.node[:]
    graph.node.extend(ordered)


def _inserted(tensors: Iterable[str]) -> Iterable[onnx.NodeProto]:
    for name in tensors:
        yield helper.make_node("Cast", [name], [f"{name}_bf16"], to=TensorProto.BFLOAT16)
        yield helper.make_node("Cast", [f"{name}_bf16"], [_rounded(name)], to=TensorProto.FLOAT)


def _rounded(tensor: str) -> str:
    return f"{tensor}_rounded"
