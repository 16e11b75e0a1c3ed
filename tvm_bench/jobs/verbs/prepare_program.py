"""The verb `prepare_program`: converts an exported program to the file of a runtime, in that one's environment."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ...compression import calibration
from ...spec.errors import UserError
from ...spec.feed import FeedRequest
from ...spec.recipe import Quantize
from ...spec.tensors import from_json
from ...spec.variant import ModelSpec


def run(
    kind: str,
    precision: str,
    parent: str,
    out: str,
    model_spec: dict[str, Any],
    description: dict[str, Any],
    batch: int,
    quantization: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the file in `precision` to `out`, and return how it was quantized, as the verb `prepare` does.

    `kind` is `executorch` or `litert`, and `parent` the file that spec/formats.py names. Raises `UserError` for a
    recipe that this runtime does not have, and without data for calibration.
    """
    exporter = import_module(f"tvm_bench.exporters.{kind}_file")
    if precision == "fp32":
        exporter.convert(Path(parent), Path(out))
        return {"outputs": [out], "quantization": None}
    if quantization and Quantize.from_dict(quantization) not in exporter.RECIPES:
        raise UserError(
            f"the INT8 of {kind} is calibrated after training, always per channel, and excludes nothing. Give --recipe "
            "int8 without options, or other --backends."
        )
    spec = ModelSpec.from_dict(model_spec)
    inputs = from_json(description["model_inputs"], batch)
    request = FeedRequest(inputs, description["spec"], spec.data, spec.samples)
    batches = calibration.batches(request, batch, (description["calibration"] or {}).get("images"))
    exporter.quantize(Path(parent), Path(out), calibration.checked(batches, inputs))
    return {"outputs": [out], "quantization": exporter.METHOD}
