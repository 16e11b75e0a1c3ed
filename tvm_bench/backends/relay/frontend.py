"""Step 4: imports a model file as a Relay module, with its weights as constants."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import tvm
from tvm import relay

from ...spec.errors import UserError
from . import torch_attention

INPUT = "input"


def relay_from_file(source: Path, shape: tuple[int, ...]) -> tvm.IRModule:
    """Import an `.onnx` or TorchScript `.pt` file for inputs of `shape` (batch, channels, height, width).

    Raises `UserError` with all operators that TVM's front end does not support.
    """
    importer = relay_from_onnx if source.suffix == ".onnx" else relay_from_torchscript
    try:
        return importer(source, shape)
    except (tvm.error.OpNotImplemented, NotImplementedError) as error:
        raise UserError(f"{source.name}: {_unsupported(str(error))}") from error


def relay_from_onnx(source: Path, shape: tuple[int, ...]) -> tvm.IRModule:
    """Import an ONNX file with fixed shapes; the input keeps its name in the file."""
    import onnx

    module, parameters = relay.frontend.from_onnx(onnx.load(source), freeze_params=True)
    return _bound(module, parameters)


def relay_from_torchscript(source: Path, shape: tuple[int, ...]) -> tvm.IRModule:
    """Import a traced module, FP32 or quantized."""
    import torch

    torch.backends.quantized.engine = "x86"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.load(str(source))
        inputs = [(INPUT, (shape, "float32"))]
        module, parameters = relay.frontend.from_pytorch(traced, inputs, torch_attention.CONVERSIONS)
    return _bound(module, parameters)


def _bound(module: tvm.IRModule, parameters: dict) -> tvm.IRModule:
    main = relay.build_module.bind_params_by_name(module["main"], parameters)
    return relay.transform.InferType()(tvm.IRModule.from_expr(main))


def _unsupported(message: str) -> str:
    operators = re.findall(r"[\w.]+::[\w.]+|(?<=ONNX: ).*", message)
    listed = ", ".join(sorted(set(operators))) or message.strip().splitlines()[-1]
    return (
        f"TVM 0.19 does not support these operators: {listed}. Try the other --frontend (onnx or pytorch), "
        "or replace them in the model."
    )
