"""The backends by name, with their file formats and precisions. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import UserError, unknown


@dataclass(frozen=True)
class Backend:
    """A runtime, or one configuration of it."""

    module: str  # in `tvm_bench.backends`, or a module of the user
    source: str  # the file format that it loads, or builds from
    precisions: tuple[str, ...]
    builds: bool = False  # whether it builds a library from the source
    packages: tuple[str, ...] = ()  # optional packages that it needs
    gpu: bool = False
    int8_source: str | None = None  # the file format in INT8; None: `source`
    pytorch: str | None = None  # the file format that its front end for PyTorch reads; None: it has one front end
    environment: str | None = None  # the name of its own (see host/environments.py); None: it runs in this one


BACKENDS = {
    "eager": Backend("eager", "module", ("fp32", "int8", "bf16", "int8-dynamic", "fp16-dynamic")),
    "eager-channels-last": Backend("eager_channels_last", "module", ("fp32", "bf16")),
    "torchscript": Backend("torchscript", "torchscript", ("fp32", "int8")),
    "inductor": Backend("inductor", "module", ("fp32", "int8", "bf16"), int8_source="exported"),
    "inductor-max-autotune": Backend("inductor_max_autotune", "module", ("fp32", "bf16")),
    "relay": Backend("relay.library", "onnx", ("fp32", "int8", "bf16"), builds=True, pytorch="torchscript"),
    "relay-stock": Backend("relay.library", "onnx", ("fp32", "int8"), builds=True, pytorch="torchscript"),
    "relax": Backend("relax.library", "onnx", ("fp32", "int8"), builds=True, pytorch="exported", environment="relax"),
    "onnxruntime": Backend("onnxruntime", "onnx", ("fp32", "int8", "int8-dynamic")),
    "openvino": Backend("openvino", "openvino", ("fp32", "int8", "bf16"), packages=("openvino",)),
    "ncnn": Backend("ncnn", "ncnn", ("fp32", "int8"), packages=("ncnn",)),
    "mnn": Backend("mnn", "mnn", ("fp32", "int8"), packages=("MNN",)),
    "litert": Backend("litert", "litert", ("fp32", "int8"), environment="litert"),
    "executorch": Backend("executorch", "executorch", ("fp32", "int8"), environment="executorch"),
    "eager-cuda": Backend("eager_cuda", "module", ("fp32",), gpu=True),
    "inductor-cuda": Backend("inductor_cuda", "module", ("fp32",), packages=("triton",), gpu=True),
    "onnxruntime-cuda": Backend("onnxruntime_cuda", "onnx", ("fp32", "fp16"), packages=("onnxruntime-gpu",), gpu=True),
    "tensorrt": Backend(
        "tensorrt", "onnx", ("fp32", "fp16", "int8"), packages=("tensorrt",), gpu=True, int8_source="tensorrt"
    ),
    "null": Backend("null", "module", ("fp32",)),
}
COMPETING = tuple(name for name in BACKENDS if name not in ("relay-stock", "null"))
TVMS = ("relay", "relax")  # the generations of TVM that are tuned and compared layer by layer
DEFAULT = ("eager", "relay", "onnxruntime")
DEFAULT_OF_ONNX = ("relay", "onnxruntime")  # eager PyTorch cannot run an ONNX file
ON_GPU = tuple(name for name, backend in BACKENDS.items() if backend.gpu)
GPU_TARGETS = re.compile(r"\W*(?:kind\W+)?(?:cuda|nvidia|nvptx|opencl|vulkan|rocm|metal|webgpu)\b")
FRONTENDS = ("onnx", "pytorch")  # of Relay and Relax


def named(name: str) -> Backend:
    """The backend `name`; a name with a dot is a module of the user, which loads ONNX files.

    Raises `UserError` with the nearest names.
    """
    if "." in name:
        return Backend(name, "onnx", ("fp32", "int8"))
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    return BACKENDS[name]


def source(name: str, precision: str, frontend: str | None = None) -> str:
    """The file format that the backend `name` loads, or builds from by a `frontend`, in `precision`."""
    backend = named(name)
    if frontend == "pytorch" and backend.pytorch:
        return backend.pytorch
    return backend.int8_source or backend.source if precision == "int8" else backend.source


def pairs(names: Iterable[str], precisions: Iterable[str]) -> list[tuple[str, str]]:
    """The supported pairs (precision, backend) of these. Raises `UserError` if there is none."""
    precisions, supported = tuple(precisions), {name: named(name).precisions for name in names}
    existing = [(precision, name) for name, own in supported.items() for precision in precisions if precision in own]
    if not existing:
        allowed = "; ".join(f"{name} has {', '.join(own)}" for name, own in supported.items())
        raise UserError(f"no backend runs in precision {', '.join(precisions)}: {allowed}. Give another --precision.")
    return existing


def need_cpu(target: str, *, cuda: bool, example: str) -> None:
    """Raise `UserError` if the TVM `target` is a GPU.

    `cuda`: whether this build of TVM can run CUDA. `example` is a target of a CPU.
    """
    if GPU_TARGETS.match(target):
        lacking = "" if cuda else " The installed wheel of TVM has no CUDA runtime either."
        raise UserError(
            f"target '{target}': libraries are compiled for CPUs only.{lacking} For a GPU, race it: --backends "
            f"{','.join(ON_GPU)}. For a CPU, give --target '{example}'."
        )
