"""Refuses the nodes of an ONNX graph that TVM 0.19 computes otherwise than ONNX defines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from .onnx_graph import Attributes, Graph, Nodes


def _resize(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """Refused where TVM interpolates otherwise: it derives the scale from the sizes, as if they were never rounded."""
    scales = graph.constant(node, 2) if len(node.input) > 2 and node.input[2] else np.ones(0)
    sizes = scales * graph.shape(node, node.input[0]) if (scales % 1).any() else scales
    odd = [name for name in ("antialias", "exclude_outside") if attributes.get(name)]
    odd += ["round_prefer_ceil"] if attributes.get("nearest_mode") == b"round_prefer_ceil" else []
    odd += ["scales that give fractions of pixels"] if not np.allclose(sizes, sizes.round()) else []
    if odd:
        raise NotImplementedError(f"Resize with {' and '.join(odd)} (node '{node.name}')")
    return [node]


def _roi_align(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    default = b"half_pixel" if graph.opset >= 16 else b"output_half_pixel"
    position = attributes.get("coordinate_transformation_mode", default)
    if position != b"output_half_pixel" or attributes.get("mode") == b"max":
        raise NotImplementedError(f"RoiAlign with half_pixel or maxima (node '{node.name}')")
    return [node]


def _recurrent(graph: Graph, node: onnx.NodeProto, attributes: Attributes) -> Nodes:
    """Refused where TVM ignores an attribute, or the lengths of sequences, unless all have the full length."""
    odd = [name for name in ("layout", "clip", "input_forget") if attributes.get(name)]
    lengths = node.input[4:5]
    if lengths and lengths[0] and (graph.constant(node, 4) != graph.shape(node, node.input[0])[0]).any():
        odd += ["sequences of different lengths"]
    if odd:
        raise NotImplementedError(f"{node.op_type} with {' and '.join(odd)} (node '{node.name}')")
    return [node]


def _always(_graph: Graph, node: onnx.NodeProto, _attributes: Attributes) -> Nodes:
    raise NotImplementedError(f"{node.op_type} (node '{node.name}')")


RULES: dict[str, Callable[[Graph, onnx.NodeProto, Attributes], Nodes]] = {
    "Resize": _resize,
    "RoiAlign": _roi_align,
    **dict.fromkeys(("RNN", "LSTM", "GRU"), _recurrent),
    **dict.fromkeys(("LpPool", "MaxUnpool"), _always),  # wrong for most attributes
}
