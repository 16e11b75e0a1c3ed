"""File formats of a model by precision, and the parent format of each. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .recipe import Quantize

SUFFIXES = {
    "module": ".pt",
    "torchscript": ".pt",
    "onnx": ".onnx",
    "openvino": ".xml",
    "ncnn": ".param",
    "mnn": ".mnn",
    "tensorrt": ".onnx",
    "exported": ".pt2",
    "litert": ".tflite",
    "executorch": ".pte",
}
BATCH_FREE = {"module", "ncnn"}  # one file serves every batch size


@dataclass(frozen=True)
class SourceFormat:
    """`parent` is the format that it is converted from (None: the model itself); `packages` are optional packages.

    `environment` is the one that it is converted in (see host/environments.py); None: this one.
    """

    parent: tuple[str, str] | None = None
    packages: tuple[str, ...] = ()
    environment: str | None = None


FORMATS = {
    ("module", "fp32"): SourceFormat(),
    ("module", "int8"): SourceFormat(("module", "fp32")),
    ("module", "bf16"): SourceFormat(("module", "fp32")),
    ("module", "int8-dynamic"): SourceFormat(("module", "fp32")),
    ("module", "fp16-dynamic"): SourceFormat(("module", "fp32")),
    ("torchscript", "fp32"): SourceFormat(("module", "fp32")),
    ("torchscript", "int8"): SourceFormat(("module", "int8")),
    ("exported", "fp32"): SourceFormat(("module", "fp32")),
    ("exported", "int8"): SourceFormat(("module", "fp32")),
    ("onnx", "fp32"): SourceFormat(("module", "fp32")),
    ("onnx", "int8"): SourceFormat(("onnx", "fp32")),
    ("onnx", "int8-dynamic"): SourceFormat(("onnx", "fp32")),
    ("onnx", "fp16"): SourceFormat(("onnx", "fp32")),
    ("tensorrt", "int8"): SourceFormat(("onnx", "fp32")),
    ("openvino", "fp32"): SourceFormat(("onnx", "fp32"), ("openvino",)),
    ("openvino", "bf16"): SourceFormat(("onnx", "fp32"), ("openvino",)),
    ("openvino", "int8"): SourceFormat(("onnx", "fp32"), ("openvino", "nncf")),
    ("ncnn", "fp32"): SourceFormat(("onnx", "fp32"), ("ncnn", "pnnx")),
    ("ncnn", "int8"): SourceFormat(("onnx", "int8"), ("ncnn", "pnnx")),
    ("mnn", "fp32"): SourceFormat(("onnx", "fp32"), ("MNN",)),
    ("mnn", "int8"): SourceFormat(("onnx", "int8"), ("MNN",)),
    ("litert", "fp32"): SourceFormat(("exported", "fp32"), environment="litert"),
    ("litert", "int8"): SourceFormat(("litert", "fp32"), environment="litert"),
    ("executorch", "fp32"): SourceFormat(("exported", "fp32"), environment="executorch"),
    ("executorch", "int8"): SourceFormat(("exported", "fp32"), environment="executorch"),
}

# After quantization-aware training, all INT8 files are converted from the trained module.
AWARE = {("onnx", "int8"): ("module", "int8"), ("openvino", "int8"): ("onnx", "int8")}
# PT2E quantizes the FP32 module.
PT2E = {("onnx", "int8"): ("module", "fp32"), ("openvino", "int8"): ("onnx", "int8")}


def parent(kind: str, precision: str, *, is_onnx: bool, quantization: Quantize | None = None) -> tuple[str, str] | None:
    """The parent of the format (`kind`, `precision`). None: the model itself, which may be an ONNX file.

    `is_onnx`: the model is an ONNX file. `quantization` is that of its recipe.
    """
    if is_onnx and (kind, precision) == ("onnx", "fp32"):
        return None
    if quantization and quantization.aware and (kind, precision) in AWARE:
        return AWARE[kind, precision]
    if quantization and quantization.pt2e and (kind, precision) in PT2E:
        return PT2E[kind, precision]
    return FORMATS[kind, precision].parent


def files(path: Path) -> tuple[Path, ...]:
    """All files of the model file `path`: OpenVINO and ncnn store the weights in a second one."""
    return (path, path.with_suffix(".bin")) if path.suffix in (SUFFIXES["openvino"], SUFFIXES["ncnn"]) else (path,)
