"""The forms of a model as files: who writes each, and what it is made from. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {"module": ".pt", "torchscript": ".pt", "onnx": ".onnx", "openvino": ".xml", "tensorrt": ".onnx"}
BATCH_FREE = {"module"}  # one file serves every batch size


@dataclass(frozen=True)
class Form:
    """`writer` is a function of export/prepare.py, `parent` the form that it reads (None: the model itself)."""

    writer: str
    parent: tuple[str, str] | None = None
    packages: tuple[str, ...] = ()  # of the extra `peers`


FORMS = {
    ("module", "fp32"): Form("module_fp32"),
    ("module", "int8"): Form("module_int8", ("module", "fp32")),
    ("module", "bf16"): Form("module_bf16", ("module", "fp32")),
    ("module", "int8-dynamic"): Form("module_int8_dynamic", ("module", "fp32")),
    ("module", "fp16-dynamic"): Form("module_fp16_dynamic", ("module", "fp32")),
    ("torchscript", "fp32"): Form("torchscript_traced", ("module", "fp32")),
    ("torchscript", "int8"): Form("torchscript_traced", ("module", "int8")),
    ("onnx", "fp32"): Form("onnx_fp32", ("module", "fp32")),
    ("onnx", "int8"): Form("onnx_int8", ("onnx", "fp32")),
    ("onnx", "int8-dynamic"): Form("onnx_int8_dynamic", ("onnx", "fp32")),
    ("tensorrt", "fp32"): Form("tensorrt_fp32", ("onnx", "fp32")),
    ("tensorrt", "fp16"): Form("tensorrt_fp16", ("onnx", "fp32")),
    ("openvino", "fp32"): Form("openvino_fp32", ("onnx", "fp32"), ("openvino",)),
    ("openvino", "bf16"): Form("openvino_bf16", ("onnx", "fp32"), ("openvino",)),
    ("openvino", "int8"): Form("openvino_int8", ("onnx", "fp32"), ("openvino", "nncf")),
}

# After quantization-aware training all INT8 forms are made from the one that was trained.
AWARE = {("onnx", "int8"): ("module", "int8"), ("openvino", "int8"): ("onnx", "int8")}


def parent(kind: str, precision: str, *, is_onnx: bool, aware: bool = False) -> tuple[str, str] | None:
    """The form that another is made from; an ONNX file of the user's is the model itself."""
    if is_onnx and (kind, precision) == ("onnx", "fp32"):
        return None
    return (aware and AWARE.get((kind, precision))) or FORMS[kind, precision].parent


def files(path: Path) -> tuple[Path, ...]:
    """All files of a form that begins with `path`: OpenVINO keeps the weights in a second one."""
    return (path, path.with_suffix(".bin")) if path.suffix == SUFFIXES["openvino"] else (path,)
