"""Stores the weights and biases of an ONNX file of QDQ pairs as integers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper


def store_integers(graph: onnx.GraphProto) -> None:
    """Quantize weights and biases in the file, as ONNX Runtime's own tools do, and not each time it is loaded."""
    constants = _constants(graph)
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in constants]:
        values, steps, zeros = (constants[name] for name in node.input)
        _replace_by_constant(graph, node, np.clip(_in_steps(values, steps), -128, 127).astype(zeros.dtype))
    makers = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) == 3]:
        data, weights = (makers.get(name) for name in node.input[:2])
        if not (data and weights and node.input[2] in constants):
            continue
        if {data.op_type, weights.op_type} == {"DequantizeLinear"}:
            scales = constants[data.input[1]] * constants[weights.input[1]]
            _quantize_bias(graph, node, constants[node.input[2]], scales)
    used = {name for node in graph.node for name in node.input}
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """All constants by name. Copies of constants are removed from the graph."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants |= {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in graph.node if node.op_type == "Constant"
    }
    for node in [node for node in graph.node if node.op_type == "Identity" and node.input[0] in constants]:
        constants[node.output[0]] = constants[node.input[0]]
        _replace_by_constant(graph, node, constants[node.input[0]])
    return constants


def _replace_by_constant(graph: onnx.GraphProto, node: onnx.NodeProto, values: np.ndarray) -> None:
    graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    graph.node.remove(node)


def _quantize_bias(graph: onnx.GraphProto, node: onnx.NodeProto, bias: np.ndarray, scales: np.ndarray) -> None:
    *names, result = (f"{node.name}_bias_{part}" for part in ("integers", "scales", "zeros", "dequantized"))
    graph.initializer.append(numpy_helper.from_array(_in_steps(bias, scales).astype(np.int32), names[0]))
    graph.initializer.append(numpy_helper.from_array(scales, names[1]))
    # ONNX makes the zero point optional, TVM does not.
    graph.initializer.append(numpy_helper.from_array(np.zeros(scales.shape, np.int32), names[2]))
    pair = onnx.helper.make_node("DequantizeLinear", names, [result], name=result, axis=0)
    graph.node.insert(list(graph.node).index(node), pair)
    node.input[2] = result


def _in_steps(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """`values` in steps of `scales`, of which there is one for each index of the first dimension, or one for all."""
    return np.rint(values / scales.reshape(-1, *(1,) * (values.ndim - 1)))
