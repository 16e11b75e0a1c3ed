"""Converts ONNX files of old opsets: QDQ per channel needs opset 13, the first whose `DequantizeLinear` has an axis."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import version_converter

from .onnx_open_sizes import dtype_of, inputs_of, session_of

OLDEST = 13
TOLERANCE = 1e-4  # relative to the largest value: the same operators, perhaps fused in another way


def upgraded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, whose shapes must be fixed, at opset `OLDEST` at least.

    It stays as it was if it cannot be converted, or if the converted model answers otherwise.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), OLDEST)
    if opset >= OLDEST:
        return model
    try:
        converted = onnx.shape_inference.infer_shapes(version_converter.convert_version(model, OLDEST))
        same = all(map(_are_close, _answers(converted), _answers(model)))
    except Exception:  # of any kind: the converter knows few operators, and raises what it likes
        return model
    return converted if same else model


def _answers(model: onnx.ModelProto) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {v.name: [size.dim_value for size in v.type.tensor_type.shape.dim] for v in inputs_of(model)}
    dtypes = {value.name: dtype_of(value) for value in inputs_of(model)}
    feed = {name: random.random(shape).round(3).astype(dtypes[name]) for name, shape in shapes.items()}
    return session_of(model).run(None, feed)


def _are_close(answer: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.abs(answer - right).max(initial=0) <= TOLERANCE * np.abs(right).max(initial=0))
