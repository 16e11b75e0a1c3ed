"""ONNX files: exported from a module, or given by the user and checked."""

from __future__ import annotations

import copy
import hashlib
import warnings
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import external_data_helper
from torch import nn

from ..data.preprocess import InputSpec
from ..host.files import replace_with, sha256
from ..spec.errors import UserError

OPSET = 17  # the newest that TVM 0.19's ONNX front end reads in full


def save_from_module(module: nn.Module, path: Path, shape: tuple[int, ...]) -> None:
    """Export `module` for inputs of `shape` (batch, channels, height, width); the exporter folds batch norms."""
    with warnings.catch_warnings(), replace_with(path) as temporary:
        warnings.simplefilter("ignore")
        # The tracing exporter: the newer one needs more packages and writes the weights to a second file.
        torch.onnx.export(
            module,
            (torch.zeros(shape),),
            str(temporary),
            dynamo=False,
            input_names=["input"],
            output_names=["logits"],
            opset_version=OPSET,
        )


def open_checked(path: Path, shape: tuple[int, ...] | None, batch: int) -> onnx.ModelProto:
    """Read a classifier with one input and one output, and fix its input shape.

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
    inputs = _inputs(model)
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise UserError(
            f"'{path}' has inputs {[i.name for i in inputs]} and outputs {[o.name for o in model.graph.output]}: "
            "only classifiers with one image input and one output are supported."
        )
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


def input_spec(model: onnx.ModelProto) -> InputSpec:
    """The input's shape, with ImageNet's scaling, because an ONNX file does not state the scaling."""
    _, channels, height, width = input_shape(model)
    return InputSpec((channels, height, width), round(min(height, width) * 256 / 224))


def input_shape(model: onnx.ModelProto) -> tuple[int, ...]:
    """The shape (batch, channels, height, width) of the only input."""
    return tuple(d.dim_value for d in _inputs(model)[0].type.tensor_type.shape.dim)


def output_count(model: onnx.ModelProto) -> int:
    """The number of classes: the last size of the output, or 0 if the file does not state it."""
    dims = model.graph.output[0].type.tensor_type.shape.dim
    return dims[-1].dim_value if dims else 0


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
