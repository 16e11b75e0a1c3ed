"""The backends by name: which file each takes, in which precisions. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import UserError, unknown


@dataclass(frozen=True)
class Backend:
    """`module` below this package, the kind of source it takes, the precisions it has, whether it builds a file of its
    own from the source, and what it needs beyond the main install."""

    module: str
    source: str
    precisions: tuple[str, ...]
    builds: bool = False
    packages: tuple[str, ...] = ()
    gpu: bool = False


BACKENDS = {
    "eager": Backend("eager", "module", ("fp32", "int8", "bf16", "int8-dynamic", "fp16-dynamic")),
    "eager-channels-last": Backend("eager_channels_last", "module", ("fp32", "bf16")),
    "torchscript": Backend("torchscript", "torchscript", ("fp32", "int8")),
    "inductor": Backend("inductor", "module", ("fp32", "bf16")),
    "inductor-max-autotune": Backend("inductor_max_autotune", "module", ("fp32", "bf16")),
    "relay": Backend("relay.library", "onnx", ("fp32", "int8"), builds=True),
    "relay-stock": Backend("relay.library", "onnx", ("fp32", "int8"), builds=True),
    "onnxruntime": Backend("onnxruntime", "onnx", ("fp32", "int8", "int8-dynamic")),
    "openvino": Backend("openvino", "openvino", ("fp32", "int8", "bf16"), packages=("openvino",)),
    "eager-cuda": Backend("eager_cuda", "module", ("fp32",), gpu=True),
    "tensorrt": Backend("tensorrt", "tensorrt", ("fp32", "fp16"), packages=("tensorrt",), gpu=True),
    "null": Backend("null", "module", ("fp32",)),
}
COMPETING = tuple(name for name in BACKENDS if name not in ("relay-stock", "null"))
FRONTENDS = {"onnx": "onnx", "pytorch": "torchscript"}  # of Relay: name -> kind of source


def named(name: str) -> Backend:
    """The backend `name`; one with a dot is the user's own module, which takes ONNX files.

    Raises `UserError` with the near names.
    """
    if "." in name:
        return Backend(name, "onnx", ("fp32", "int8"))
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    return BACKENDS[name]


def pairs(names: Iterable[str], precisions: Iterable[str]) -> list[tuple[str, str]]:
    """Each (precision, backend) of those asked for that exists. Raises `UserError` when none does."""
    asked = {name: named(name).precisions for name in names}
    found = [(precision, name) for name, has in asked.items() for precision in precisions if precision in has]
    if not found:
        having = "; ".join(f"{name} has {', '.join(has)}" for name, has in asked.items())
        raise UserError(f"nothing runs in precision {', '.join(precisions)}: {having}. Give another --precision.")
    return found
