"""Turns ncnn's FP32 files into INT8 ones, as ncnn's tool `ncnn2int8` does. Its packages for Python lack that tool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from ..spec.errors import UserError
from .qdq_steps import LAYERS, QuantizedLayer, by_channel

# The options with the numbers of outputs and of weights, whether there is a bias, and the value of option 8.
KINDS = {"Convolution": (0, 6, 5, 2), "ConvolutionDepthWise": (0, 6, 5, 1), "InnerProduct": (0, 2, 1, 2)}
REQUANTIZES = 100  # is added to option 8 of a layer whose output is in the steps of the next
FLOATS, INTEGERS = bytes(4), (0x000D4B38).to_bytes(4, "little")


@dataclass
class _Line:
    """A line of the graph: type, name, numbers of inputs and outputs, their names, then options."""

    words: list[str]
    layer: QuantizedLayer | None = None
    start: int = 0  # of its weights in the file of weights

    @property
    def kind(self) -> str:
        return self.words[0]

    @property
    def inputs(self) -> list[str]:
        return self.words[4 : 4 + int(self.words[2])]

    @property
    def outputs(self) -> list[str]:
        return self.words[4 + int(self.words[2]) :][: int(self.words[3])]

    def option(self, number: int) -> int:
        return next((int(word.partition("=")[2]) for word in self.words if word.startswith(f"{number}=")), 0)


def quantize(graph: Path, weights: Path, floats: onnx.ModelProto, layers: Iterable[QuantizedLayer]) -> None:
    """Rewrite the files `graph` and `weights`, converted from the ONNX model `floats`, with its INT8 `layers`.

    Raises `UserError` if the weights of a layer are not those of the ONNX model.
    """
    magic, counts, *rest = graph.read_text().splitlines()
    lines, data = [_Line(line.split()) for line in rest], weights.read_bytes()
    weighted = [line for line in lines if line.kind in KINDS]
    _find_weights(weighted, data, floats, {layer.weights: layer for layer in layers})
    written, end = bytearray(), 0
    for line in lines:
        if line.layer:
            written += data[end : line.start]
            term, values, end = _integers(line, line.layer, data, _bound_after(line, lines))
            written += values
            line.words.append(f"8={term}")
    weights.write_bytes(bytes(written) + data[end:])
    graph.write_text("\n".join([magic, counts, *(" ".join(line.words) for line in lines)]) + "\n")


def _find_weights(
    lines: Iterable[_Line], data: bytes, floats: onnx.ModelProto, layers: Mapping[str, QuantizedLayer]
) -> None:
    """Find the layer of each line by its weights, which lie in the order of the lines."""
    constants = {tensor.name: tensor for tensor in floats.graph.initializer}
    left = {
        name: FLOATS + np.ascontiguousarray(by_channel(node, numpy_helper.to_array(constants[name]))).tobytes()
        for node in floats.graph.node
        if node.op_type in (*LAYERS, "MatMul") and (name := node.input[1]) in constants
    }
    position = 0
    for line in lines:
        size = len(FLOATS) + 4 * line.option(KINDS[line.kind][1])
        found = {data.find(values, position): name for name, values in left.items() if len(values) == size}
        found.pop(-1, None)
        if not found:
            raise UserError(
                f"ncnn's layer '{line.words[1]}' has other weights than the ONNX file. Give other --backends."
            )
        line.start = min(found)
        position = line.start + size
        line.layer = layers.get(found[line.start])
        del left[found[line.start]]


def _bound_after(line: _Line, lines: Iterable[_Line]) -> float | None:
    """The largest magnitude that all readers of a convolution's output round; None: another layer reads it."""
    readers, names = list[_Line](), set(line.outputs)
    for other in lines:
        if names.intersection(other.inputs):
            if other.kind == "Split":
                names.update(other.outputs)
            else:
                readers.append(other)
    if line.kind == "InnerProduct" or not readers:
        return None
    layers = [reader.layer for reader in readers if reader.kind != "InnerProduct"]
    return layers[0].before.bound if len(layers) == len(readers) and layers[0] and all(layers) else None


def _integers(line: _Line, layer: QuantizedLayer, data: bytes, bound: float | None) -> tuple[int, bytes, int]:
    """Option 8 of a layer, its integers and scales, and where its floats end in `data`."""
    outputs, size, bias, term = KINDS[line.kind]
    start = line.start + len(FLOATS)
    end = start + 4 * line.option(size)
    floats = np.frombuffer(data[start:end], np.float32).reshape(line.option(outputs), -1)
    groups = line.option(7) if line.kind == "ConvolutionDepthWise" else len(floats)
    scales = np.broadcast_to(layer.of_weights.scale.ravel(), len(floats)).reshape(groups, -1).max(axis=1)
    integers = np.rint(floats.reshape(groups, -1) / scales[:, None]).clip(-127, 127).astype(np.int8).tobytes()
    bias_end = end + 4 * line.option(outputs) * line.option(bias)
    bounds = [layer.before.bound, *([] if bound is None else [bound])]
    factors = np.concatenate([1 / scales, 127 / np.array(bounds)]).astype(np.float32)
    padded = integers + bytes(-len(integers) % 4)
    term += 0 if bound is None else REQUANTIZES
    return term, INTEGERS + padded + data[end:bias_end] + factors.tobytes(), bias_end
