"""What must be shipped beside an artifact so that it runs. Standard library only."""

from __future__ import annotations

from functools import cache
from importlib import metadata

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
