"""OpenVINO's own files, converted from ONNX: `.xml` for the graph, `.bin` for the weights.

The `.xml` names the precision of the computation, which OpenVINO would otherwise choose by the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import openvino

from ..host.files import replace_with

METHOD = {
    "method": "static post-training quantization, NNCF, preset 'performance', fast bias correction",
    "weights": "INT8, per channel, symmetric",
    "activations": "UINT8, INT8 where signed, per tensor, symmetric, min-max",
}


def convert(source: Path, path: Path, *, compute: str) -> None:
    """Convert the ONNX file `source`, not quantized, to be computed in `compute` (f32 or bf16)."""
    _save(openvino.Core().read_model(source), path, compute)


def quantize(source: Path, path: Path, batches: Iterable[np.ndarray]) -> None:
    """Write an INT8 version of the FP32 ONNX file `source`, calibrated on all `batches` in the shape of its input."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    logging.getLogger("nncf").setLevel(logging.ERROR)
    images = list(batches)
    quantized = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset(images),
        subset_size=len(images),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            # NNCF's default is the mean of each batch's extremes, which clips every image that exceeds it.
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        ),
    )
    _save(quantized, path, "f32")


def _save(model: openvino.Model, path: Path, compute: str) -> None:
    model.set_rt_info(compute, "inference_precision")
    with replace_with(path) as graph, replace_with(path.with_suffix(".bin")):
        openvino.save_model(model, graph, compress_to_fp16=False)
