"""The inputs that an ONNX file declares, in whatever notation of open sizes, and the shapes that fix them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from ..spec.errors import UserError
from ..spec.sizes import OpenInput, Sizes, fixed

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
# Heights and widths, and the size of any other dimension, that are tried to name an option that works.
IMAGES = ((224, 224), (640, 640), (48, 192), (32, 320), (32, 100), (32, 32), (299, 299))
LENGTH = 16
Shapes = Mapping[str, tuple[int | str | None, ...] | None]


def fixed_shapes(model: onnx.ModelProto, path: Path, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The shape of each input by `sizes`.

    Raises `UserError` for inputs that are no tensors of numbers, for unknown names, for sizes that contradict the file,
    and for sizes that stay open, with an option that fixes them.
    """
    declared = [_declared(value, path) for value in inputs_of(model)]
    try:
        shapes = fixed(declared, sizes)
    except UserError as error:
        raise UserError(f"'{path}': {error}") from None
    closed = {name: _numbers(shape) for name, shape in shapes.items() if shape is not None and _is_fixed(shape)}
    if len(closed) < len(shapes):
        raise UserError(f"'{path}' {_open_sizes(model, declared, shapes)}")
    _check_batch(declared, closed, path, sizes.batch)
    return closed


def inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs without default values."""
    weights = {initializer.name for initializer in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def dtype_of(value: onnx.ValueInfoProto) -> str:
    """NumPy's name of the dtype of an input or output; empty if it is no tensor, or of a type that NumPy lacks."""
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    except KeyError:
        return ""


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime, which prints nothing. Raises what ONNX Runtime does for a model that it cannot run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _declared(value: onnx.ValueInfoProto, path: Path) -> OpenInput:
    tensor, dtype = value.type.tensor_type, dtype_of(value)
    if dtype not in DTYPES:
        raise UserError(
            f"'{path}': input '{value.name}' is no tensor of numbers that NumPy has. Export the model with inputs of "
            f"{', '.join(DTYPES)}."
        )
    sizes = tuple(map(_declared_size, tensor.shape.dim)) if tensor.HasField("shape") else None
    return OpenInput(value.name, sizes, is_float=dtype.startswith("float"))


def _declared_size(size: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """A number, a name, or None. Files write an open size as a name, '?', '-1', '', 0 or -1."""
    if size.dim_value > 0:
        return int(size.dim_value)
    name = size.dim_param.strip()
    return None if not name or name == "?" or name.lstrip("-").isdigit() else name


def _check_batch(declared: Sequence[OpenInput], shapes: Mapping[str, tuple[int, ...]], path: Path, batch: int) -> None:
    """Raises `UserError` if the batch size is fixed at another one: that of the only image, or of all inputs."""
    firsts = {name: shape[0] for name, shape in shapes.items() if shape}
    wrong = [name for name, first in firsts.items() if first != batch]
    is_image = len(declared) == 1 and declared[0].may_be_image
    if wrong and len(wrong) == len(firsts) and (batch != 1 or is_image):
        raise UserError(
            f"'{path}': input '{wrong[0]}' is fixed at {list(shapes[wrong[0]])}, but the batch size is {batch}. Give "
            f"--batch-size {firsts[wrong[0]]}, or export the model with an open batch size."
        )


def _open_sizes(model: onnx.ModelProto, declared: Sequence[OpenInput], shapes: Shapes) -> str:
    """Names the open sizes, and an option that fixes them."""
    still_open = [entry for entry in declared if not _is_fixed(shapes[entry.name])]
    example = _working_shapes(model, declared, shapes)
    options = " ".join(f"--input-shape {e.name}:{','.join(map(str, example[e.name]))}" for e in still_open)
    names = [size for entry in still_open for size in shapes[entry.name] or () if isinstance(size, str)]
    dims = f"; a named size also with --dim {names[0]}=SIZE" if names else ""
    listed = ", ".join(entry.text for entry in still_open)
    return f"has inputs with open sizes: {listed}. Give all of them, such as {options}{dims}."


def _is_fixed(shape: Sequence[int | str | None] | None) -> bool:
    return shape is not None and all(isinstance(size, int) for size in shape)


def _numbers(shape: Sequence[int | str | None]) -> tuple[int, ...]:
    return tuple(size for size in shape if isinstance(size, int))


def _working_shapes(
    model: onnx.ModelProto, declared: Sequence[OpenInput], shapes: Shapes
) -> dict[str, tuple[int, ...]]:
    """Shapes that ONNX Runtime runs the model with; the first of those tried if it runs with none."""
    tried = [{entry.name: _filled(shapes[entry.name], image) for entry in declared} for image in IMAGES]
    dtypes = {value.name: dtype_of(value) for value in inputs_of(model)}
    try:
        session = session_of(model)
    except Exception:  # of any kind: operators or sizes that ONNX Runtime does not know
        return tried[0]
    for candidate in tried:
        try:
            session.run(None, {name: np.zeros(shape, dtypes[name]) for name, shape in candidate.items()})
            return candidate
        except Exception:  # these sizes do not fit the model
            continue
    return tried[0]


def _filled(shape: Sequence[int | str | None] | None, image: tuple[int, int]) -> tuple[int, ...]:
    """The shape, with example sizes in place of open ones: those of an image where there are four dimensions."""
    sizes = (None, None, None, None) if shape is None else shape
    examples = (1, 3, *image) if len(sizes) == 4 else (LENGTH,) * len(sizes)
    return tuple(size if isinstance(size, int) else example for size, example in zip(sizes, examples, strict=True))
