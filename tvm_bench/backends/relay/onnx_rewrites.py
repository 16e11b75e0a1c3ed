"""Rewrites the nodes of an ONNX graph that TVM 0.19 reads wrongly, or not at all, to nodes that it reads rightly.

What has none of these is in `onnx_refused.py`. Found by ONNX's own tests of its operators, tests/test_onnx_rewrites.py.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from . import onnx_refused
from .onnx_graph import Attributes, Graph, Nodes


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, whose shapes must be fixed, with rewritten nodes. Raises `NotImplementedError` for what TVM lacks."""
    graph, nodes = Graph(model), list[onnx.NodeProto]()
    for node in model.graph.node:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        nodes += rule(graph, node, attributes) if (rule := _rule(node)) else [node]
    if all(map(operator.is_, nodes, model.graph.node)):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _rule(node: onnx.NodeProto) -> Callable[[Graph, onnx.NodeProto, Attributes], Nodes] | None:
    return RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def _with(node: onnx.NodeProto, attributes: Attributes, inputs: list[str] | None = None) -> onnx.NodeProto:
    """The node with other attributes, and with other inputs if they are given."""
    return helper.make_node(node.op_type, inputs or node.input, node.output, node.name, **attributes)


def _constant(name: str, values: object, dtype: type = np.float32) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, dtype)))


def _reduce(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """The axes as an attribute: of an input, TVM reads the first axis only."""
    if len(node.input) < 2 or not node.input[1]:
        return [node]
    axes = graph.constant(node, 1).tolist()
    if not axes and attributes.pop("noop_with_empty_axes", 0):
        return [helper.make_node("Identity", node.input[:1], node.output)]
    return [_with(node, attributes | ({"axes": axes} if axes else {}), node.input[:1])]


def _pool(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """Without windows that begin in the padding after the data, which TVM adds to round the number of windows up."""
    (node,) = _padded(graph, node, attributes)
    if not attributes.get("ceil_mode"):
        return [node]
    windows = _windows(graph, node, attributes)
    pads = attributes.get("pads", [0] * 2 * len(windows))
    before, after = pads[: len(windows)], pads[len(windows) :]
    outputs = graph.shape(node, node.output[0])[2:]
    rounded_up = [-(-(size + b + a - k) // s) + 1 for (size, k, s), b, a in zip(windows, before, after, strict=True)]
    if rounded_up == outputs:
        return [node]
    if attributes.get("count_include_pad"):
        raise NotImplementedError(f"{node.op_type} with ceil_mode and count_include_pad (node '{node.name}')")
    ends = [max((o - 1) * s + k - size - b, 0) for (size, k, s), o, b in zip(windows, outputs, before, strict=True)]
    return [_with(node, attributes | {"ceil_mode": 0, "pads": [*before, *ends]})]


def _padded(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """Explicit padding: TVM computes that of `auto_pad` when the library runs, and often cannot compile that."""
    mode = attributes.get("auto_pad", b"").decode()
    if not mode.startswith("SAME"):
        return [node]
    del attributes["auto_pad"]
    totals = [max((-(-size // s) - 1) * s + k - size, 0) for size, k, s in _windows(graph, node, attributes)]
    before = [(total + (mode == "SAME_LOWER")) // 2 for total in totals]
    attributes["pads"] = [*before, *(total - first for total, first in zip(totals, before, strict=True))]
    return [_with(node, attributes)]


def _windows(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> list[tuple[int, int, int]]:
    """For each axis: its size, the extent of the kernel and the stride."""
    sizes = graph.shape(node, node.input[0])[2:]
    kernel = attributes.get("kernel_shape") or graph.shape(node, node.input[1])[2:]
    strides, dilations = (attributes.get(name) or [1] * len(sizes) for name in ("strides", "dilations"))
    extents = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    return list(zip(sizes, extents, strides, strict=True))


def _split(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """The sizes of the parts: TVM takes a number of parts only if they are equal."""
    if "num_outputs" not in attributes:
        return [node]
    count, size = attributes.pop("num_outputs"), graph.shape(node, node.input[0])[attributes.get("axis", 0)]
    part, name = -(-size // count), f"{node.output[0]}.sizes"
    sizes = _constant(name, [part] * (count - 1) + [size - part * (count - 1)], np.int64)
    return [sizes, _with(node, attributes, [node.input[0], name])]


def _dropout(_graph: Graph, node: onnx.NodeProto, _attributes: Attributes) -> Nodes:
    return [helper.make_node("Identity", node.input[:1], node.output[:1])]


def _gelu(_graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """TVM computes the one with `erf` always. It knows the other by ONNX Runtime's name."""
    fast = attributes.get("approximate") == b"tanh"
    return [helper.make_node("FastGelu", node.input, node.output, node.name)] if fast else [node]


def _group_norm(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """An instance norm of the groups, as PyTorch exports it. Opset 18 has a scale for each group."""
    groups, shape = attributes["num_groups"], graph.shape(node, node.input[0])
    name, channels = node.output[0], shape[1]
    scale, bias = (graph.constant(node, i) for i in (1, 2))
    scale, bias = (v.repeat(channels // len(v)).reshape(-1, *[1] * (len(shape) - 2)) for v in (scale, bias))
    constants = {"grouped": [0, groups, -1], "ones": [1] * groups, "zeros": [0] * groups, "shape": shape}
    made = [
        _constant(f"{name}.{k}", v, np.float32 if k in ("ones", "zeros") else np.int64) for k, v in constants.items()
    ]
    made += [_constant(f"{name}.scale", scale), _constant(f"{name}.bias", bias)]

    def step(kind: str, inputs: list[str], output: str, **more: Any) -> None:
        names = [text if text == node.input[0] else f"{name}.{text}" for text in inputs]
        made.append(helper.make_node(kind, names, [f"{name}.{output}" if output else name], **more))

    step("Reshape", [node.input[0], "grouped"], "rows")
    step("InstanceNormalization", ["rows", "ones", "zeros"], "normed", epsilon=attributes.get("epsilon", 1e-5))
    step("Reshape", ["normed", "shape"], "whole")
    step("Mul", ["whole", "scale"], "scaled")
    step("Add", ["scaled", "bias"], "")
    return made


REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
RULES: dict[str, Callable[[Graph, onnx.NodeProto, Attributes], Nodes]] = {
    **dict.fromkeys((f"Reduce{name}" for name in REDUCTIONS), _reduce),
    "Conv": _padded,
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    "Split": _split,
    "Dropout": _dropout,
    "Gelu": _gelu,
    "GroupNormalization": _group_norm,
    **onnx_refused.RULES,
}
