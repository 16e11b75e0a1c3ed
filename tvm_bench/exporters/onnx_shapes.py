"""Fixes the shapes of all values of an ONNX file, and folds what is computed from shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from ..spec.sizes import Sizes
from .onnx_open_sizes import dtype_of, fixed_shapes, inputs_of, session_of

# Operators that folding may remove. TVM's importer needs the sizes that they lead to as constants.
FOLDED = {"Shape", "Size", "ConstantOfShape", "Range", "If", "Loop", "NonZero"}


def check(model: onnx.ModelProto) -> None:
    """`onnx.checker.check_model`, which here also accepts inputs and outputs without a shape."""
    tensors = [v.type.tensor_type for v in (*model.graph.input, *model.graph.output) if v.type.HasField("tensor_type")]
    unknown = [tensor for tensor in tensors if not tensor.HasField("shape")]
    for tensor in unknown:
        tensor.shape.SetInParent()
    onnx.checker.check_model(model)
    for tensor in unknown:
        tensor.ClearField("shape")


def with_fixed_shapes(model: onnx.ModelProto, path: Path, sizes: Sizes) -> onnx.ModelProto:
    """The model with fixed inputs, see `fixed_shapes`, and the shapes that follow from them. `model` is changed."""
    shapes = fixed_shapes(model, path, sizes)
    for value in inputs_of(model):
        _set_shape(value, shapes[value.name])
    inferred = _inferred(model)
    if open_nodes(inferred) or any(node.op_type in FOLDED for node in inferred.graph.node):
        inferred = _inferred(_folded(inferred))
    return _with_output_shapes(inferred)


def open_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes with an output of open size although all their inputs have fixed shapes."""
    graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    fixed = {value.name for value in values if _has_fixed_shape(value)}
    fixed |= {tensor.name for tensor in graph.initializer} | {""}
    return [node for node in graph.node if fixed.issuperset(node.input) and not fixed.issuperset(node.output)]


def _has_fixed_shape(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(size.HasField("dim_value") for size in tensor.shape.dim)


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    value.type.tensor_type.ClearField("shape")
    value.type.tensor_type.shape.SetInParent()  # also that of a scalar, which has no sizes
    for size in shape:
        value.type.tensor_type.shape.dim.add().dim_value = size


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all shapes inferred anew: those in the file may have open sizes."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_value <= 0:
                size.Clear()
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimizations, which fold constants and shapes; as it was if they fail."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder, "folded.onnx"))
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            folded = onnx.load(options.optimized_model_filepath)
        except Exception:  # of any kind: an operator that ONNX Runtime does not know is reported by the build
            return model
    domains = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    return folded if domains.issuperset(node.domain for node in folded.graph.node) else model


def _with_output_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes of outputs that were not inferred, as those of operators of other domains: by a run."""
    unknown = [value for value in model.graph.output if not _has_fixed_shape(value)]
    if not unknown:
        return model
    try:
        feed = {
            value.name: np.zeros([size.dim_value for size in value.type.tensor_type.shape.dim], dtype_of(value))
            for value in inputs_of(model)
        }
        results = session_of(model).run([value.name for value in unknown], feed)
    except Exception:  # of any kind: the check of operators names the first that has no fixed shape
        return model
    for value, result in zip(unknown, results, strict=True):
        if isinstance(result, np.ndarray):
            _set_shape(value, result.shape)
    return model
