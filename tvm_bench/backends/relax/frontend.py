"""Imports a model file as a Relax module, with its weights as constants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from ...exporters import onnx_folding
from ...spec.errors import UserError
from ...spec.tensors import TensorSpec


def relax_from_file(source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
    """Import an `.onnx` file or an exported program, `.pt2`, with these `inputs`: the parameters of `main`, in order.

    Raises `UserError` with all operators that the front end does not have.
    """
    return relax_from_onnx(source, inputs) if source.suffix == ".onnx" else relax_from_program(source)


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
        raise _unsupported(source, re.findall(r"[\w.]+", str(error).rpartition(":")[2]), error) from error


def relax_from_program(source: Path) -> tvm.IRModule:
    """Import a program that `torch.export` wrote, FP32 or quantized by PT2E.

    Raises `UserError` with all operators that the front end does not have.
    """
    import torch
    from tvm.relax.frontend.torch import from_exported_program

    from . import torch_quantized

    # The project's own file: loading one from elsewhere may run its code.
    program = torch.export.load(source).run_decompositions()
    try:
        module = from_exported_program(
            program,
            unwrap_unit_return_tuple=True,
            custom_convert_map=torch_quantized.converters(program),
            run_ep_decomposition=False,
        )
    except (AssertionError, NotImplementedError) as error:
        raise _unsupported(source, re.findall(r"'([\w.]+)'", str(error)), error) from error
    # A max pool comes as a pair with its indices.
    steps = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination()]
    return tvm.transform.Sequential(steps)(module)


def _unsupported(source: Path, operators: list[str], error: Exception) -> UserError:
    listed = ", ".join(sorted(operators)) or repr(error)
    return UserError(
        f"{source.name}: Relax does not import these operators: {listed}. Leave out --backends relax, try the other "
        "--frontend (onnx or pytorch), or replace them in the model."
    )
