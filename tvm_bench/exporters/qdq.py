"""Quantization of an ONNX file by ONNX Runtime: static (QDQ format, weights per channel), and dynamic."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..host.files import replace_with
from ..spec import mixed_precision
from ..spec.errors import unknown
from ..spec.tensors import Arrays
from . import bfloat16_rounding
from .onnx_file import input_names

RANGES = {  # of activations: ONNX Runtime's method, and its options
    "minmax": (CalibrationMethod.MinMax, {}),
    "histogram": (CalibrationMethod.Percentile, {"percentile": 99.999, "symmetric": False, "num_bins": 2048}),
    "entropy": (CalibrationMethod.Entropy, {"num_bins": 2048}),
}
OPERATORS = frozenset({*QDQRegistry, *QLinearOpsRegistry})  # that can be quantized
# TensorRT refuses zero points and integer biases. It fuses pairs at the inputs of these operators; weights stay FP32 in
# the file.
TENSORRT_OPERATORS = frozenset({"Add", "Conv", "Gemm", "GlobalAveragePool", "MatMul"})
TENSORRT = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "AddQDQPairToWeight": True,
    "DedicatedQDQPair": True,
    "OpTypesToExcludeOutputQuantization": sorted(TENSORRT_OPERATORS),
}
CHUNK = 8  # batches whose activations are held in memory at once
DYNAMIC_METHOD = {
    "method": "dynamic post-training quantization, onnxruntime.quantization",
    "weights": "UINT8, per tensor: ConvInteger takes no signed ones",
    "activations": "UINT8, per tensor, ranges of each call",
}


def method(
    *, per_channel: bool = True, observer: str = "minmax", excluded: Sequence[str] = (), tensorrt: bool = False
) -> dict[str, str | list[str]]:
    """A description of how `quantize` quantizes."""
    ranges = {"minmax": "min-max", "histogram": "99.999th percentile of a histogram", "entropy": "entropy"}[observer]
    return {
        "method": "static post-training quantization, onnxruntime.quantization, QDQ",
        "weights": f"INT8, per {'channel' if per_channel else 'tensor'}, min-max{', FP32 in the file' * tensorrt}",
        "activations": f"INT8, symmetric, per tensor, {ranges}"
        if tensorrt
        else f"UINT8, per tensor, {ranges}, 7-bit weights where the CPU has no VNNI",
        **({"excluded": list(excluded)} if excluded else {}),
    }


class _Reader(CalibrationDataReader):
    def __init__(self, names: Sequence[str], batches: Iterable[Arrays]):
        self.feeds: Iterator[dict] = (dict(zip(names, arrays, strict=True)) for arrays in batches)

    def get_next(self) -> dict | None:
        return next(self.feeds, None)


def quantize(
    source: Path,
    path: Path,
    batches: Iterable[Arrays],
    *,
    vnni: bool,
    per_channel: bool = True,
    observer: str = "minmax",
    excluded: Sequence[str] = (),
    tensorrt: bool = False,
) -> None:
    """Write a static INT8 version of the FP32 file `source`, calibrated on `batches` of its inputs.

    `observer` sets the range of an activation: `minmax`, `histogram` (cut at the 99.999th percentile) or `entropy`.
    `excluded` names operators (`Softmax`) and nodes (`/head/Gemm`) that stay FP32, and convolutions that are computed
    in BF16 (`bf16:/stem/Conv`). Raises `UserError`, with similar names, for those that the file does not have.
    `tensorrt`: as TensorRT takes it, symmetric and without integer biases.
    """
    with TemporaryDirectory() as folder:
        folded, ranges = Path(folder, "folded.onnx"), Path(folder, "ranges.json")
        fold(source, folded)
        _excluded(onnx.load(folded, load_external_data=False).graph, excluded)  # refuses names before it takes long
        find_ranges(folded, batches, ranges, observer=observer)
        options: dict[str, Any] = {"per_channel": per_channel, "observer": observer, "excluded": excluded}
        write(folded, ranges, path, vnni=vnni, tensorrt=tensorrt, **options)


def write(
    folded: Path,
    ranges: Path,
    path: Path,
    *,
    vnni: bool,
    per_channel: bool = True,
    observer: str = "minmax",
    excluded: Sequence[str] = (),
    tensorrt: bool = False,
) -> None:
    """The last step of `quantize`, for a file by `fold` and the file of its ranges by `find_ranges`."""
    nodes, operators = _excluded(onnx.load(folded, load_external_data=False).graph, excluded)
    if tensorrt:
        operators = sorted(TENSORRT_OPERATORS.intersection(operators or OPERATORS))
    with replace_with(path) as temporary:
        quantize_static(
            str(folded),
            str(temporary),
            None,
            calibration_cache_path=ranges,
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            reduce_range=not vnni,  # ONNX Runtime's kernels without VNNI saturate in 16 bits
            activation_type=QuantType.QInt8 if tensorrt else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=RANGES[observer][0],
            op_types_to_quantize=operators,
            nodes_to_exclude=nodes,
            extra_options=TENSORRT if tensorrt else None,
        )
        bfloat16_rounding.add(temporary, mixed_precision.in_bf16(excluded))


def fold(source: Path, path: Path) -> None:
    """Fold constants and fuse operators, as ONNX Runtime advises before quantization.

    Its symbolic shape inference finds more shapes than ONNX's own, which remains where that fails. Then it has written
    the model into the current folder.
    """
    logging.getLogger("onnxruntime.tools.symbolic_shape_infer").setLevel(logging.CRITICAL)
    source, path = source.resolve(), path.resolve()
    for skip in (False, True):
        try:
            with TemporaryDirectory() as folder, chdir(folder):
                return quant_pre_process(str(source), str(path), skip_symbolic_shape=skip)
        except Exception:  # it raises plain `Exception` for an operator or a shape that it does not know
            if skip:
                raise


def _excluded(graph: onnx.GraphProto, names: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The nodes of `graph` among `names`, and the operators to quantize (None: all) without those among `names`."""
    nodes, present = {node.name for node in graph.node}, {node.op_type for node in graph.node}
    constants = {tensor.name for tensor in graph.initializer}
    convolutions = {node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in constants}
    for name in mixed_precision.in_bf16(names):
        if name not in convolutions:
            raise unknown("convolution", name, convolutions)
    names = mixed_precision.names_of(names)
    for name in names:
        if name not in nodes | present:
            raise unknown("operator or node", name, nodes | present)
    operators = sorted(OPERATORS - set(names)) if present & set(names) else None
    return [name for name in names if name in nodes], operators


def find_ranges(model: Path, batches: Iterable[Arrays], out: Path, *, observer: str = "minmax") -> None:
    """Write the ranges of all activations of `model` to `out`, in ONNX Runtime's file format."""
    kind, options = RANGES[observer]
    augmented = str(out.with_name("augmented.onnx"))
    calibrator = create_calibrator(model, None, augmented, kind, extra_options=options)
    names = input_names(onnx.load(model, load_external_data=False))
    remaining = iter(batches)
    while chunk := list(islice(remaining, CHUNK)):  # one reader for all would hold every activation until the end
        calibrator.collect_data(_Reader(names, chunk))
    save_tensors_data(calibrator.compute_data(), out)
    Path(augmented).unlink(missing_ok=True)  # as large as the model


def quantize_on_the_fly(source: Path, path: Path) -> None:
    """Write a dynamic INT8 version of the FP32 file `source`.

    Its convolutions become ConvInteger, for which ONNX Runtime has no fast kernel: it is smaller and slower than FP32.
    """
    with TemporaryDirectory() as folder, replace_with(path) as temporary:
        folded = Path(folder, "folded.onnx")
        fold(source, folded)
        quantize_dynamic(str(folded), str(temporary), weight_type=QuantType.QUInt8)
