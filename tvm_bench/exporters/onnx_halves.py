"""An ONNX file in FP16, for GPUs: weights and activations are halves, inputs and outputs stay FP32."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from ..host.files import replace_with

METHOD = {
    "method": "converted to FP16, onnxruntime.transformers.float16",
    "weights": "FP16",
    "activations": "FP16, but for inputs, outputs, and operators that have no FP16 in ONNX Runtime, such as Resize",
}


def convert(source: Path, out: Path) -> None:
    """Write the FP32 file `source` in FP16 to `out`."""
    model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    OnnxModel.graph_topological_sort(model.graph)  # it appends the conversion of an input to the end
    with replace_with(out) as temporary:
        onnx.save(model, temporary)
