"""ONNX files: exported from a module, or given by the user and checked."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import external_data_helper
from torch import nn

from ..host.files import replace_with, sha256
from ..models.tensors import flat_outputs, flatten, zeros
from ..spec.errors import UserError
from ..spec.sizes import Sizes
from ..spec.tensors import TensorSpec
from . import onnx_operators, onnx_opset, onnx_shapes
from .onnx_open_sizes import DTYPES, dtype_of, inputs_of

OPSET = 17  # the newest that TVM 0.19's ONNX front end reads in full


def save_from_module(module: nn.Module, path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Export `module` for `inputs`; the exporter folds batch norms. The outputs get the names of `flatten`."""
    with torch.inference_mode():
        outputs = list(flatten(module(*zeros(inputs))))
    with warnings.catch_warnings(), replace_with(path) as temporary, flat_outputs(module):
        warnings.simplefilter("ignore")
        # The tracing exporter: the newer one needs more packages and writes the weights to a second file.
        torch.onnx.export(
            module,
            zeros(inputs),
            str(temporary),
            dynamo=False,
            input_names=[spec.name for spec in inputs],
            output_names=outputs,
            opset_version=OPSET,
        )


def open_checked(path: Path, sizes: Sizes) -> onnx.ModelProto:
    """Read an ONNX file, and fix the shapes of its inputs by `sizes`.

    Raises `UserError` for a file that is not ONNX or is damaged, for sizes that do not fit or stay open, and for
    operators that have no fixed shapes.
    """
    if not path.is_file():
        raise UserError(
            f"no file '{path}'. --model takes a torchvision model, an .onnx file, or package.module:callable."
        )
    try:
        model = onnx.load(path)
        onnx_shapes.check(model)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[:1]
        raise UserError(
            f"'{path}' is not a valid ONNX file, or is cut short: {' '.join(first)}. Export it again."
        ) from error
    model = onnx_shapes.with_fixed_shapes(model, path, sizes)
    onnx_operators.need_static(model, path)
    return onnx_opset.upgraded(model)


def fingerprint(path: Path) -> str:
    """SHA-256, in hexadecimal, of the file and of all files of external weights that it names."""
    tensors = external_data_helper._get_all_tensors(onnx.load(path, load_external_data=False))
    external = [tensor for tensor in tensors if external_data_helper.uses_external_data(tensor)]
    names = {external_data_helper.ExternalDataInfo(tensor).location for tensor in external}
    digests = [sha256(file) for file in (path, *(path.parent / name for name in sorted(names)))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def inputs(model: onnx.ModelProto, batch: int) -> tuple[TensorSpec, ...]:
    """The inputs of a model of fixed shapes, with this batch size."""
    return tuple(_spec(value, batch, _high(model, value.name)) for value in inputs_of(model))


def outputs(model: onnx.ModelProto, batch: int) -> tuple[TensorSpec, ...]:
    """The outputs of a model of fixed shapes, with this batch size. Raises `UserError` for an output of other types."""
    for value in model.graph.output:
        if dtype_of(value) not in DTYPES:
            raise UserError(
                f"output '{value.name}' is no tensor of numbers that NumPy has. Export the model with outputs of "
                f"{', '.join(DTYPES)}."
            )
    return tuple(_spec(value, batch) for value in model.graph.output)


def input_names(model: onnx.ModelProto) -> list[str]:
    """The names of the inputs, without those that have a default value."""
    return [value.name for value in inputs_of(model)]


def _spec(value: onnx.ValueInfoProto, batch: int, high: int | None = None) -> TensorSpec:
    shape = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    return TensorSpec(value.name, shape, dtype_of(value), batched=shape[:1] == (batch,), high=high)


def _high(model: onnx.ModelProto, name: str) -> int | None:
    """The size of the table that an input selects rows of, itself or cast; None if it selects none."""
    names = {name}
    tables = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Unsqueeze", "Squeeze", "Reshape", "Flatten") and node.input[0] in names:
            names.add(node.output[0])
        if node.op_type == "Gather" and node.input[1] in names and (table := tables.get(node.input[0])):
            axis = next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == "axis"), 0)
            return table[axis]
    return None
