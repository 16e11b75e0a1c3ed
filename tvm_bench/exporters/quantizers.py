"""The quantizers of an INT8 ONNX file (QDQ), and the FP32 file that it was made from with only one of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from .onnx_layers import sizes_of
from .qdq import OPERATORS

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
WEIGHTS_SUFFIX = "_quantized"  # of ONNX Runtime, for the integers of a constant


@dataclass(frozen=True)
class Quantizer:
    """One scale: that of a constant (`weights`), or that of a tensor and of those that only move its values.

    `tensors` are the names in the FP32 file. The node `writer` (None: a constant or an input of the model) and the
    nodes `readers` compute with them: they are quantized as long as one of these nodes is. `values` is the number of
    values in all `tensors`.
    """

    tensors: tuple[str, ...]
    writer: str | None
    readers: tuple[str, ...]
    weights: bool
    values: int

    @property
    def name(self) -> str:
        """The name of the first tensor."""
        return self.tensors[0]


class QuantizedFile:
    """The FP32 file `floats`, and the INT8 file `integers` that ONNX Runtime made from it."""

    def __init__(self, floats: onnx.ModelProto, integers: onnx.ModelProto):
        self.floats, self.integers = floats, integers
        self._constants = {tensor.name: tensor for tensor in integers.graph.initializer}
        self._weights = {tensor.name for tensor in floats.graph.initializer}
        self._pairs = dict(self._find_pairs())

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes of the FP32 file that can be quantized, or left out by name."""
        remaining = {node.name for node in self.integers.graph.node}
        return [
            node
            for node in self.floats.graph.node
            if node.name in remaining and node.name and node.op_type in OPERATORS
        ]

    def quantizers(self) -> list[Quantizer]:
        """All quantizers but those of biases, whose steps are products of two others and hardly cost accuracy."""
        by_scale: dict[str, list[str]] = defaultdict(list)
        for tensor, (_, dequantize) in self._pairs.items():
            by_scale[dequantize.input[1]].append(tensor)
        writers, readers = self._neighbours()
        sizes = sizes_of(self.floats)
        return [
            Quantizer(
                tuple(tensors),
                writers.get(tensors[0]) or None,
                tuple(dict.fromkeys(name for tensor in tensors for name in readers[tensor])),
                tensors[0] in self._weights,
                sum(math.prod(sizes.get(tensor, ())) for tensor in tensors),
            )
            for tensors in by_scale.values()
        ]

    def with_only(self, *quantizers: Quantizer) -> onnx.ModelProto:
        """The FP32 model in which only these `quantizers` round."""
        model = onnx.ModelProto()
        model.CopyFrom(self.floats)
        chosen = {tensor: self._pairs[tensor] for quantizer in quantizers for tensor in quantizer.tensors}
        nodes = list(_with_pairs(model.graph, chosen))
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        kept = [tensor for tensor in model.graph.initializer if tensor.name not in chosen]
        used = {name for node in nodes if node.op_type in (QUANTIZE, DEQUANTIZE) for name in node.input}
        del model.graph.initializer[:]
        model.graph.initializer.extend([*kept, *(self._constants[name] for name in used if name in self._constants)])
        return model

    def _find_pairs(self) -> Iterator[tuple[str, tuple[onnx.NodeProto | None, onnx.NodeProto]]]:
        """The pair of nodes that quantizes each tensor of the FP32 file; a constant has only the second."""
        producers = {name: node for node in self.integers.graph.node for name in node.output}
        inputs = {value.name for value in self.floats.graph.input}
        tensors = inputs.union(*(node.output for node in self.floats.graph.node))
        for node in self.integers.graph.node:
            if node.op_type != DEQUANTIZE:
                continue
            quantize, constant = producers.get(node.input[0]), self._constants.get(node.input[0])
            if quantize is not None and quantize.op_type == QUANTIZE:
                for name in (quantize.input[0], node.output[0]):  # the second at an output of the model
                    if name in tensors:
                        yield name, (quantize, node)
            elif constant is not None and constant.data_type != TensorProto.INT32:  # those are biases
                name = constant.name.removesuffix(WEIGHTS_SUFFIX)
                if name in self._weights:
                    yield name, (None, node)

    def _neighbours(self) -> tuple[dict[str, str], dict[str, list[str]]]:
        """The node that writes each tensor of the FP32 file, and those that read it.

        An activation that the INT8 file does not have, because its quantizer clips already, stands for the node before.
        """
        quantizable = {node.name for node in self.nodes}
        writers: dict[str, str] = {}
        readers: dict[str, list[str]] = defaultdict(list)
        for node in self.floats.graph.node:
            name = node.name if node.name in quantizable else writers.get(node.input[0] if node.input else "", "")
            writers |= dict.fromkeys(node.output, name)
            if node.name in quantizable:
                for tensor in node.input:
                    readers[tensor].append(name)
        return writers, readers


def _with_pairs(
    graph: onnx.GraphProto, pairs: Mapping[str, tuple[onnx.NodeProto | None, onnx.NodeProto]]
) -> Iterator[onnx.NodeProto]:
    """The nodes of `graph` in order, with the `pairs` between the writers of their tensors and all readers."""
    inputs = {value.name for value in graph.input}
    for tensor, (quantize, dequantize) in pairs.items():
        if quantize is None:
            yield _renamed(dequantize, dequantize.input[0], tensor)
        elif tensor in inputs:
            yield from _pair(quantize, dequantize, tensor, _rounded(tensor))
    read = {tensor: _rounded(tensor) for tensor in pairs if tensor in inputs}
    for original in graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        written = [tensor for tensor in node.output if tensor in pairs]
        node.input[:] = [read.get(name, name) for name in original.input]
        node.output[:] = [_exact(name) if name in written else name for name in original.output]
        yield node
        for tensor in written:
            quantize, dequantize = pairs[tensor]
            assert quantize is not None, f"{tensor} is a constant"
            yield from _pair(quantize, dequantize, _exact(tensor), tensor)


def _pair(quantize: onnx.NodeProto, dequantize: onnx.NodeProto, read: str, written: str) -> Iterable[onnx.NodeProto]:
    return _renamed(quantize, read, f"{written}_integers"), _renamed(dequantize, f"{written}_integers", written)


def _renamed(node: onnx.NodeProto, read: str, written: str) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[0], copy.output[0] = read, written
    return copy


def _exact(tensor: str) -> str:
    return f"{tensor}_exact"


def _rounded(tensor: str) -> str:
    return f"{tensor}_rounded"
