"""Imports a model file as a Relax module, with its weights as constants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tvm
from tvm.relax.frontend.onnx import from_onnx

from ...exporters import onnx_folding
from ...spec.errors import UserError
from ...spec.tensors import TensorSpec


def relax_from_onnx(source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
    """Import an ONNX file with these `inputs`, which become the parameters of `main` in this order.

    Raises `UserError` with all operators that the front end does not have.
    """
    shapes = {spec.name: list(spec.shape) for spec in inputs}
    dtypes = {spec.name: spec.dtype for spec in inputs}
    model = onnx_folding.opened(source)
    try:
        return from_onnx(model, shapes, dtypes, sanitize_input_names=False)
    except tvm.error.OpNotImplemented as error:
        listed = ", ".join(re.findall(r"[\w.]+", str(error).rpartition(":")[2])) or str(error)
        raise UserError(
            f"{source.name}: Relax does not import these operators: {listed}. Leave out --backends relax, or replace "
            "them in the model."
        ) from error
