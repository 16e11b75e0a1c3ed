"""What must be shipped beside an artifact so that it runs. Standard library only."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

# The first word of a backend's name -> a distribution, and the files of it that are needed (None: all of them).
RUNTIMES = {
    "eager": ("torch", None),
    "torchscript": ("torch", None),
    "inductor": ("torch", None),
    "onnxruntime": ("onnxruntime", None),
    "openvino": ("openvino", None),
    # The compiler stays at home.
    "relay": ("xtc-tvm-python-bindings", ("libtvm_runtime.so",)),
}

# Backends that compile when they load, or in their first call -> the suffix of the folder that they keep it in.
COMPILED = {"inductor": ".inductor", "inductor-max-autotune": ".max-autotune.inductor", "tensorrt": ".tensorrt"}


def compiled_folder(backend: str, artifact: Path) -> Path:
    """Where `backend`, one of `COMPILED`, keeps what it compiled from `artifact`."""
    return artifact.with_suffix(COMPILED[backend])


def compiled_files(backend: str, artifact: Path) -> tuple[Path, ...]:
    """What a backend has compiled from `artifact` so far; nothing for most backends."""
    if backend not in COMPILED:
        return ()
    return tuple(sorted(file for file in compiled_folder(backend, artifact).rglob("*") if file.is_file()))


@cache
def runtime_mb(backend: str) -> float | None:
    """Installed size of the backend's runtime, without what that depends on, in MB of 10**6 bytes; None if unknown."""
    if not (runtime := RUNTIMES.get(backend.partition("-")[0])):
        return None
    name, wanted = runtime
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return None
    return sum(file.size or 0 for file in files if not wanted or file.name in wanted) / 1e6 or None
