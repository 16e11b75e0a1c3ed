"""Step 4: imports a model file as a Relay module, with its weights as constants."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import tvm
from tvm import relay

from ...spec.errors import UserError
from ...spec.tensors import TensorSpec
from .shortcuts import while_importing


def relay_from_file(source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
    """Import an `.onnx` or TorchScript `.pt` file with these `inputs`, which become the parameters in this order.

    Raises `UserError` with all operators that TVM's front end does not support.
    """
    importer = relay_from_onnx if source.suffix == ".onnx" else relay_from_torchscript
    try:
        with while_importing():
            return importer(source, inputs)
    except (tvm.error.OpNotImplemented, NotImplementedError) as error:
        raise UserError(f"{source.name}: {_unsupported(str(error))}") from error


def relay_from_onnx(source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
    """Import an ONNX file with fixed shapes."""
    from ...exporters import onnx_folding
    from . import onnx_converters, onnx_rewrites

    model = onnx_rewrites.rewritten(onnx_folding.opened(source))
    with onnx_converters.using():
        module, parameters = relay.frontend.from_onnx(model, freeze_params=True)
    return _bound(module, parameters, inputs)


def relay_from_torchscript(source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
    """Import a traced module, FP32 or quantized."""
    import torch

    from . import torch_arguments, torch_attention, torch_converters, torch_quantized

    torch.backends.quantized.engine = "x86"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.load(str(source))
        torch_quantized.rewrite(traced)
        shapes = [(i.name, (i.shape, i.dtype)) for i in inputs]
        conversions = torch_converters.FLOAT | torch_attention.CONVERSIONS
        with torch_arguments.using(), torch_converters.using():
            module, parameters = relay.frontend.from_pytorch(traced, shapes, conversions)
    return _bound(module, parameters, inputs)


def _bound(module: tvm.IRModule, parameters: dict, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
    """The module with its weights as constants and its parameters in the order of `inputs`, unused ones too."""
    main = module["main"]
    # Not by name: for a quantized layer that is called twice, the PyTorch front end makes two variables of one name.
    main = relay.bind(main, {v: relay.const(parameters[v.name_hint]) for v in main.params if v.name_hint in parameters})
    variables = {variable.name_hint: variable for variable in main.params}
    ordered = [variables.get(i.name) or relay.var(i.name, shape=i.shape, dtype=i.dtype) for i in inputs]
    return relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function(ordered, main.body)))


def _unsupported(message: str) -> str:
    operators = re.findall(r"[\w.]+::[\w.]+|(?<=ONNX: ).*", message)
    listed = ", ".join(sorted(set(operators))) or message.strip().splitlines()[-1]
    return (
        f"TVM 0.19 does not support these operators: {listed}. Try the other --frontend (onnx or pytorch), "
        "or replace them in the model."
    )
