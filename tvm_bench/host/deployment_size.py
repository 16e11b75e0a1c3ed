"""The files that an artifact needs to run: its runtime, and what a backend compiled from it. Standard library only."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

# A backend, or the first word of its name -> its distribution, and the needed files of that (None: all of them).
RUNTIMES = {
    "eager": ("torch", None),
    "torchscript": ("torch", None),
    "inductor": ("torch", None),
    "onnxruntime": ("onnxruntime", None),
    "onnxruntime-cuda": ("onnxruntime-gpu", None),
    "openvino": ("openvino", None),
    "ncnn": ("ncnn", None),
    "mnn": ("MNN", None),
    # The runtime without the compiler.
    "relay": ("xtc-tvm-python-bindings", ("libtvm_runtime.so",)),
}

# Backends that compile at load or in their first call -> the suffix of the folder that caches the compiled files.
COMPILED = {
    "inductor": ".inductor",
    "inductor-max-autotune": ".max-autotune.inductor",
    "inductor-cuda": ".cuda.inductor",
    "tensorrt": ".tensorrt",
}


def compiled_folder(backend: str, artifact: Path) -> Path:
    """The folder in which `backend`, one of `COMPILED`, caches the files that it compiled from `artifact`."""
    return artifact.with_suffix(COMPILED[backend])


def compiled_files(backend: str, artifact: Path) -> tuple[Path, ...]:
    """The files that a backend has compiled from `artifact` so far; empty for most backends."""
    if backend not in COMPILED:
        return ()
    return tuple(sorted(file for file in compiled_folder(backend, artifact).rglob("*") if file.is_file()))


@cache
def runtime_mb(backend: str) -> float | None:
    """Installed size of the backend's runtime without its dependencies, in MB of 10**6 bytes; None if unknown."""
    if not (runtime := RUNTIMES.get(backend, RUNTIMES.get(backend.partition("-")[0]))):
        return None
    name, needed = runtime
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return None
    return sum(file.size or 0 for file in files if not needed or file.name in needed) / 1e6 or None
