"""ONNX files: exported from a module, or given by the user and checked."""

from __future__ import annotations

import copy
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
from ..spec.tensors import TensorSpec

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


def open_checked(path: Path, shape: tuple[int, ...] | None, batch: int) -> onnx.ModelProto:
    """Read an ONNX file, and fix the shapes of its inputs.

    `shape` (channels, height, width) sets the sizes that the file leaves open, `batch` an open batch size.
    Raises `UserError` for a file that is not ONNX, is damaged, or still has open sizes.
    """
    if not path.is_file():
        raise UserError(
            f"no file '{path}'. --model takes a torchvision model, an .onnx file, or package.module:callable."
        )
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[:1]
        raise UserError(
            f"'{path}' is not a valid ONNX file, or is cut short: {' '.join(first)}. Export it again."
        ) from error
    model = copy.deepcopy(model)
    _fix_shape(_inputs(model)[0], path, shape, batch)
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def fingerprint(path: Path) -> str:
    """SHA-256, in hexadecimal, of the file and of all files of external weights that it names."""
    tensors = external_data_helper._get_all_tensors(onnx.load(path, load_external_data=False))
    external = [tensor for tensor in tensors if external_data_helper.uses_external_data(tensor)]
    names = {external_data_helper.ExternalDataInfo(tensor).location for tensor in external}
    digests = [sha256(file) for file in (path, *(path.parent / name for name in sorted(names)))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def inputs(model: onnx.ModelProto, batch: int) -> tuple[TensorSpec, ...]:
    """The inputs, whose sizes must be fixed, at this batch size."""
    return tuple(_spec(value, batch) for value in _inputs(model))


def outputs(model: onnx.ModelProto, batch: int) -> tuple[TensorSpec, ...]:
    """The outputs, whose sizes must be fixed, at this batch size."""
    return tuple(_spec(value, batch) for value in model.graph.output)


def input_names(model: onnx.ModelProto) -> list[str]:
    """The names of the inputs, without those that have a default value."""
    return [value.name for value in _inputs(model)]


def _spec(value: onnx.ValueInfoProto, batch: int) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(size.dim_value for size in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(value.name, shape, dtype, batched=shape[:1] == (batch,))


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {initializer.name for initializer in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _fix_shape(value: onnx.ValueInfoProto, path: Path, shape: tuple[int, ...] | None, batch: int) -> None:
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    sizes = [d.dim_value or d.dim_param or "?" for d in dims]
    if len(dims) != 4 or tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise UserError(
            f"'{path}': input '{value.name}' is {kind} {sizes}; it must be FLOAT (batch, channels, height, width). "
            "Export the model with such an input."
        )
    for dim, size in zip(dims, (batch, *(shape or (0, 0, 0))), strict=True):
        if dim.dim_value and size and dim.dim_value != size:
            raise UserError(
                f"'{path}': input '{value.name}' is fixed at {sizes}, but --batch and --input-shape are "
                f"{[batch, *(shape or ())]}. Omit these options, or export the model with that shape."
            )
        dim.dim_value = dim.dim_value or size
    if not all(d.dim_value for d in dims):
        raise UserError(f"'{path}': input '{value.name}' has open sizes {sizes}. Give --input-shape C,H,W.")
