"""ONNX files for TensorRT. TensorRT builds the engine on the GPU that runs it, so only the precision is stored."""

from __future__ import annotations

from pathlib import Path

import onnx

from ..host.files import replace_with

FP16_METHOD = {"method": "FP16 wherever TensorRT measures it to be faster", "weights": "FP32 file, FP16 engine"}


def save(source: Path, out: Path, *, compute: str) -> None:
    """Write the ONNX file `source` to `out` with `compute` (`fp32` or `fp16`) as the precision of its engine."""
    model = onnx.load(source)
    onnx.helper.set_model_props(model, {"compute": compute})
    with replace_with(out) as temporary:
        onnx.save(model, temporary)
