"""The convolutions and dense layers of an ONNX file, described as `models.layer_sizes` does for a module."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from ..models.layer_sizes import Layer

CONVOLUTIONS = {"Conv": "conv", "ConvTranspose": "conv-transpose"}
MATRIX_PRODUCTS = ("Gemm", "MatMul")


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """The layers in the file's order. The sizes of all tensors of `model` must be fixed and inferred."""
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    return [
        _convolution(node, shapes) if node.op_type in CONVOLUTIONS else _dense(node, shapes)
        for node in graph.node
        if node.op_type in (*CONVOLUTIONS, *MATRIX_PRODUCTS)
    ]


def _convolution(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> Layer:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = shapes.get(node.input[1], ())[2:]
    ones = (1,) * len(kernel)
    return Layer(
        CONVOLUTIONS[node.op_type],
        shapes.get(node.input[0], ())[1:],
        shapes.get(node.output[0], ())[1:],
        kernel,
        tuple(attributes.get("strides", ones)),
        tuple(attributes.get("dilations", ones)),
        attributes.get("group", 1),
    )


def _dense(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> Layer:
    return Layer("dense", shapes.get(node.input[0], ())[-1:], shapes.get(node.output[0], ())[-1:])
