"""Fixes the open sizes of an ONNX file, in whatever notation they are left open, and folds what depends on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from ..spec.errors import UserError
from ..spec.sizes import OpenInput, Sizes, fixed

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
# Heights and widths, and other sizes, that are tried to name an option that works.
IMAGES = ((224, 224), (640, 640), (48, 192), (32, 320), (32, 100), (32, 32), (299, 299))
LENGTH = 16
SHAPE_OPERATORS = {"Shape", "Size", "ConstantOfShape", "Range", "If", "Loop", "NonZero"}


def with_fixed_shapes(model: onnx.ModelProto, path: Path, sizes: Sizes) -> onnx.ModelProto:
    """A copy of `model` whose inputs, values and outputs have fixed shapes, as far as its operators allow.

    Raises `UserError` for inputs that are no tensors of numbers, for unknown names, for sizes that contradict the file,
    and for sizes that stay open, with an option that fixes them.
    """
    declared = [_declared(value, path) for value in inputs_of(model)]
    try:
        shapes = fixed(declared, sizes)
    except UserError as error:
        raise UserError(f"'{path}': {error}") from None
    if any(shape is None or not all(isinstance(size, int) for size in shape) for shape in shapes.values()):
        raise UserError(_open_sizes(model, path, declared, shapes))
    _check_batch(declared, shapes, path, sizes)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in inputs_of(copy):
        _set_shape(value, shapes[value.name])
    inferred = _inferred(copy)
    if not _is_static(inferred) or any(node.op_type in SHAPE_OPERATORS for node in inferred.graph.node):
        inferred = _inferred(_folded(inferred))
    return _with_output_shapes(inferred)


def check(model: onnx.ModelProto) -> None:
    """`onnx.checker.check_model`, which also accepts inputs and outputs without a shape."""
    unknown = [v for v in (*model.graph.input, *model.graph.output) if not v.type.tensor_type.HasField("shape")]
    tensors = [value.type.tensor_type for value in unknown if value.type.HasField("tensor_type")]
    for tensor in tensors:
        tensor.shape.SetInParent()
    onnx.checker.check_model(model)
    for tensor in tensors:
        tensor.ClearField("shape")


def inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs without default values."""
    weights = {initializer.name for initializer in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _declared(value: onnx.ValueInfoProto, path: Path) -> OpenInput:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or dtype_of(value) not in DTYPES:
        raise UserError(
            f"'{path}': input '{value.name}' is no tensor of numbers that NumPy has. Export the model with inputs of "
            f"{', '.join(DTYPES)}."
        )
    sizes = tuple(map(_declared_size, tensor.shape.dim)) if tensor.HasField("shape") else None
    return OpenInput(value.name, sizes, is_float=dtype_of(value).startswith("float"))


def dtype_of(value: onnx.ValueInfoProto) -> str:
    """NumPy's name of the dtype of an input or output; empty if it has none."""
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    except KeyError:
        return ""


def _declared_size(size: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """A number, a name, or None. Files write an open size as a name, '?', '-1', '', 0 or -1."""
    if size.dim_value > 0:
        return int(size.dim_value)
    name = size.dim_param.strip()
    return None if not name or name == "?" or name.lstrip("-").isdigit() else name


def _check_batch(declared: Sequence[OpenInput], shapes: Mapping[str, tuple | None], path: Path, sizes: Sizes) -> None:
    """Raises `UserError` if the batch size is fixed at another one: of an image, or of all inputs."""
    firsts = {entry.name: shape[0] for entry in declared if (shape := shapes[entry.name])}
    images = {entry.name for entry in declared if entry.may_be_image and len(declared) == 1}
    wrong = [name for name, first in firsts.items() if first != sizes.batch]
    if wrong and (len(wrong) == len(firsts) and sizes.batch != 1 or images & set(wrong)):
        raise UserError(
            f"'{path}': input '{wrong[0]}' is fixed at {list(shapes[wrong[0]] or ())}, but the batch size is "
            f"{sizes.batch}. Give --batch {firsts[wrong[0]]}, or export the model with an open batch size."
        )


def _open_sizes(
    model: onnx.ModelProto, path: Path, declared: Sequence[OpenInput], shapes: Mapping[str, tuple | None]
) -> str:
    listed = ", ".join(entry.text for entry in declared if not _is_fixed(shapes[entry.name]))
    suggestion = next(iter(_working(model, declared, shapes)))
    options = " ".join(
        f"--input-shape {entry.name}:{','.join(map(str, suggestion[entry.name]))}"
        for entry in declared
        if not _is_fixed(shapes[entry.name])
    )
    named = dict.fromkeys(size for shape in shapes.values() for size in shape or () if isinstance(size, str))
    dims = f"; a named size also with --dim {next(iter(named))}=SIZE" if named else ""
    return f"'{path}' has inputs with open sizes: {listed}. Give all of them, such as {options}{dims}."


def _is_fixed(shape: tuple | None) -> bool:
    return shape is not None and all(isinstance(size, int) for size in shape)


def _working(
    model: onnx.ModelProto, declared: Sequence[OpenInput], shapes: Mapping[str, tuple | None]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Shapes that ONNX Runtime runs the model with; if there are none among those tried, the first of them."""
    tried = [{entry.name: _filled(shapes[entry.name], image) for entry in declared} for image in IMAGES]
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # of any kind: operators that ONNX Runtime does not know, or sizes that it cannot read
        yield tried[0]
        return
    dtypes = {value.name: dtype_of(value) for value in inputs_of(model)}
    for candidate in tried:
        try:
            session.run(None, {name: np.zeros(shape, dtypes[name]) for name, shape in candidate.items()})
            yield candidate
        except Exception:  # these sizes do not fit the model
            continue
    yield tried[0]


def _filled(shape: tuple | None, image: tuple[int, int]) -> tuple[int, ...]:
    if shape is None:
        return (1, 3, *image)
    sizes = dict(enumerate(image, start=2)) if len(shape) == 4 else {}
    return tuple(
        size if isinstance(size, int) else sizes.get(i, 3 if (i, len(shape)) == (1, 4) else LENGTH)
        for i, size in enumerate(shape)
    )


def _set_shape(value: onnx.ValueInfoProto, shape: tuple | None) -> None:
    value.type.tensor_type.ClearField("shape")
    for size in shape or ():
        value.type.tensor_type.shape.dim.add().dim_value = size
    if not shape:
        value.type.tensor_type.shape.SetInParent()  # a scalar


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all shapes inferred anew: those in the file were inferred with open sizes."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_value <= 0:
                size.Clear()
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _is_static(model: onnx.ModelProto) -> bool:
    """Whether every value of the main graph has a fixed shape."""
    graph = model.graph
    static = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
        and all(size.dim_value > 0 for size in value.type.tensor_type.shape.dim)
    }
    return all(name in static for node in graph.node for name in node.output if name)


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimizations, which fold constants and shapes; as it was if they fail."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder, "folded.onnx"))
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            folded = onnx.load(options.optimized_model_filepath)
        except Exception:  # of any kind: an operator that ONNX Runtime does not know is reported later, with its name
            return model
    known = {node.domain for node in model.graph.node}
    return folded if {node.domain for node in folded.graph.node} <= known | {"", "ai.onnx"} else model


def _with_output_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes of outputs that could not be inferred, as a run on zeros has them."""
    open_outputs = [value for value in model.graph.output if not _has_fixed_shape(value)]
    if not open_outputs:
        return model
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = {
            v.name: np.zeros([d.dim_value for d in v.type.tensor_type.shape.dim], dtype_of(v)) for v in inputs_of(model)
        }
        results = session.run([value.name for value in open_outputs], feed)
    except Exception:  # reported by the check of operators, or by the build
        return model
    for value, result in zip(open_outputs, results, strict=True):
        if isinstance(result, np.ndarray):
            _set_shape(value, result.shape)
    return model


def _has_fixed_shape(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(size.dim_value > 0 for size in tensor.shape.dim)
