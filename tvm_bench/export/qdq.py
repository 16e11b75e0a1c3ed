"""Quantization of an ONNX file by ONNX Runtime: static in QDQ form with weights per channel, and dynamic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..files import replace_with

METHOD = {
    "method": "static post-training quantization, onnxruntime.quantization, QDQ",
    "weights": "INT8, per channel, min-max",
    "activations": "UINT8, per tensor, min-max, 7-bit weights where the CPU has no VNNI",
}
DYNAMIC_METHOD = {
    "method": "dynamic post-training quantization, onnxruntime.quantization",
    "weights": "UINT8, per tensor: ConvInteger takes no signed ones",
    "activations": "UINT8, per tensor, ranges of each call",
}


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, batches: Iterable[np.ndarray]):
        self.feeds: Iterator[dict] = ({name: images} for images in batches)

    def get_next(self) -> dict | None:
        return next(self.feeds, None)


def quantize(source: Path, path: Path, batches: Iterable[np.ndarray], *, vnni: bool) -> None:
    """Write the INT8 form of the FP32 file `source`, calibrated on `batches` shaped as its input."""
    with replace_with(path.with_suffix(".folded.onnx")) as folded, replace_with(path) as beside:
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        name = onnx.load(folded, load_external_data=False).graph.input[0].name
        quantize_static(
            str(folded),
            str(beside),
            _Reader(name, batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=not vnni,  # ONNX Runtime's kernels without VNNI saturate in 16 bits
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


def quantize_on_the_fly(source: Path, path: Path) -> None:
    """Write the dynamic INT8 form of the FP32 file `source`.

    Its convolutions become ConvInteger, for which ONNX Runtime has no fast kernel: smaller, and slower than FP32.
    """
    with replace_with(path.with_suffix(".folded.onnx")) as folded, replace_with(path) as beside:
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        quantize_dynamic(str(folded), str(beside), weight_type=QuantType.QUInt8)
