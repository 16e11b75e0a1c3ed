"""LiteRT's own file, converted from an exported program. It runs in the environment `litert`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import litert_torch
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import recipe
from ai_edge_quantizer.calibrator import CalibrationInterpreter, CalibrationMode
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.utils.qsv_utils import min_max_update

from ..host.files import replace_with
from ..spec.errors import UserError, first_line
from ..spec.recipe import Quantize
from ..spec.tensors import Arrays

RECIPES = (Quantize("int8"),)
METHOD = {
    "method": "static post-training quantization, ai-edge-quantizer, static_wi8_ai8",
    "weights": "INT8, per channel, minimum and maximum",
    "activations": "INT8, per tensor, minimum and maximum",
}


def convert(source: Path, path: Path) -> None:
    """Convert the FP32 program `source`, for inputs of exactly its shapes. Raises `UserError` if LiteRT cannot."""
    try:
        program = torch.export.load(source)
        assert program.example_inputs, "torch.export keeps the inputs of its call"
        model = litert_torch.convert(program.module(), program.example_inputs[0], enable_x64=True)
    except Exception as error:  # errors of many kinds: an operator without a lowering, a type, a failed pass
        first = first_line(error)
        raise UserError(f"LiteRT cannot convert '{source}': {first}. Give other --backends.") from error
    with replace_with(path) as temporary:
        model.export(str(temporary))


def quantize(source: Path, path: Path, batches: Iterable[Arrays]) -> None:
    """Quantize the FP32 file `source` to INT8, calibrated on `batches`. Inputs and outputs keep their types.

    Raises `UserError` if LiteRT cannot run the result, as for a model with an output that it also computes with.
    """
    # By default, ranges are moving averages, which clip the largest values.
    mode = CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS
    calibration = CalibrationInterpreter(str(source), mode, min_max_update)
    runner = calibration.get_signature_runner()
    for arrays in batches:
        runner(**{f"args_{i}": array for i, array in enumerate(arrays)})
    quantizer = Quantizer(str(source), recipe.static_wi8_ai8())
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        quantizer.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
    content = quantizer.quantize(calibration.get_calibration_results(), enable_progress_report=False).quantized_model
    try:
        Interpreter(model_content=bytes(content)).allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"LiteRT cannot run what its quantizer makes of '{source}': {error}. Give --precision fp32, or other "
            "--backends."
        ) from error
    with replace_with(path) as temporary:
        temporary.write_bytes(content)
