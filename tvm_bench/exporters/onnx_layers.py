"""The convolutions and dense layers of an ONNX file, described as `models.layer_sizes` does for a module."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx

from ..models.layer_sizes import Layer
from ..spec import layer_name

CONVOLUTIONS = {"Conv": "conv", "ConvTranspose": "conv-transpose"}
MATRIX_PRODUCTS = ("Gemm", "MatMul")
Sizes = Mapping[str, tuple[int, ...]]


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """The layers in the file's order. The sizes of all tensors of `model` must be fixed and inferred."""
    sizes = sizes_of(model)
    return [
        _convolution(node, sizes) if node.op_type in CONVOLUTIONS else _dense(node, sizes)
        for node in model.graph.node
        if node.op_type in (*CONVOLUTIONS, *MATRIX_PRODUCTS)
    ]


def names_of(model: onnx.ModelProto) -> dict[str, str]:
    """What each layer computes (see `spec.layer_name`), by the name of its node."""
    sizes = sizes_of(model)
    return {
        node.name: _convolution_name(_convolution(node, sizes))
        if node.op_type in CONVOLUTIONS
        else _product_name(node, sizes)
        for node in model.graph.node
        if node.op_type in (*CONVOLUTIONS, *MATRIX_PRODUCTS) and {node.input[0], node.output[0]} <= sizes.keys()
    }


def sizes_of(model: onnx.ModelProto) -> Sizes:
    """The shape of each tensor that the file has one for."""
    graph = model.graph
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    return sizes


def _convolution(node: onnx.NodeProto, sizes: Sizes) -> Layer:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = sizes.get(node.input[1], ())[2:]
    ones = (1,) * len(kernel)
    return Layer(
        CONVOLUTIONS[node.op_type],
        sizes.get(node.input[0], ())[1:],
        sizes.get(node.output[0], ())[1:],
        kernel,
        tuple(attributes.get("strides", ones)),
        tuple(attributes.get("dilations", ones)),
        attributes.get("group", 1),
    )


def _dense(node: onnx.NodeProto, sizes: Sizes) -> Layer:
    return Layer("dense", sizes.get(node.input[0], ())[-1:], sizes.get(node.output[0], ())[-1:])


def _convolution_name(layer: Layer) -> str:
    channels = (layer.data[0], layer.out[0])
    return layer_name.convolution(channels, layer.kernel, layer.strides, layer.out[1:], layer.groups)


def _product_name(node: onnx.NodeProto, sizes: Sizes) -> str:
    data, out = sizes[node.input[0]], sizes[node.output[0]]
    return layer_name.product(data[-1], out[-1], math.prod(out[:-1]))
