"""OpenVINO's own files, converted from ONNX: `.xml` for the graph, `.bin` for the weights.

The `.xml` names the precision of the computation, which OpenVINO would otherwise choose by the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import openvino

from ..host.files import replace_with
from ..spec.tensors import Arrays

METHOD = {
    "method": "static post-training quantization, NNCF, preset 'performance', fast bias correction",
    "weights": "INT8, per channel, symmetric",
    "activations": "UINT8, INT8 where signed, per tensor, symmetric, min-max",
}


def convert(source: Path, path: Path, *, compute: str) -> None:
    """Convert the ONNX file `source`, not quantized, to be computed in `compute` (f32 or bf16)."""
    _save(openvino.Core().read_model(source), path, compute)


def quantize(source: Path, path: Path, batches: Iterable[Arrays]) -> None:
    """Write an INT8 version of the FP32 ONNX file `source`, calibrated on all `batches` of its inputs."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    logging.getLogger("nncf").setLevel(logging.ERROR)
    samples = list(batches)
    quantized = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset(samples, list),
        subset_size=len(samples),
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
