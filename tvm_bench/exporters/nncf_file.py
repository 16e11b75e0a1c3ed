"""INT8 of an ONNX file by NNCF, which corrects what rounding does to the means, or moves outliers into the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nncf
import onnx
from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters, OverflowFix
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from ..host.files import replace_with
from ..spec.tensors import Arrays
from .onnx_file import input_names

SMOOTH = 0.5  # how much of the outliers the weights take, as in Xiao et al. 2022, "SmoothQuant", arXiv:2211.10438


def quantize(source: Path, path: Path, batches: Iterable[Arrays], correction: str, *, vnni: bool) -> None:
    """Write an INT8 version of the FP32 file `source`, calibrated on all `batches` of its inputs.

    `correction` is one of `spec.cures.CORRECTIONS`.
    """
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model, samples = onnx.load(source), list(batches)
    names = input_names(model)
    options: dict[str, Any] = {"fast_bias_correction": correction == "fast"}
    advanced: dict[str, Any] = {"disable_bias_correction": correction in ("none", "smooth")}
    if correction == "smooth":
        options["model_type"] = nncf.ModelType.TRANSFORMER
        advanced["smooth_quant_alphas"] = AdvancedSmoothQuantParameters(convolution=SMOOTH, matmul=SMOOTH)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(samples, lambda arrays: dict(zip(names, arrays, strict=True))),
        subset_size=len(samples),
        preset=nncf.QuantizationPreset.MIXED,
        **options,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            overflow_fix=OverflowFix.DISABLE if vnni else OverflowFix.ENABLE,
            **advanced,
        ),
    )
    with replace_with(path) as temporary:
        onnx.save(quantized, temporary)
