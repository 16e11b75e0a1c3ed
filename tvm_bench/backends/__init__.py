"""Steps 4 to 7: the runtimes. A backend is a module with `load`, and with `build` where its artifact is not its source.

    def build(source: Path, out: Path, *, target: str | None, shape: tuple[int, ...], ...) -> dict
    def load(artifact: Path, *, threads: int) -> Callable[[np.ndarray], np.ndarray]

NumPy in and NumPy out for all, so that each pays its own copies inside the timed call. Nothing here imports a runtime.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from ..errors import unknown


@dataclass(frozen=True)
class Backend:
    """`module` below this package, the kind of source it takes, and whether it builds a file of its own from it."""

    module: str
    source: str
    builds: bool = False
    toolchain: str = "main"


BACKENDS = {
    "eager": Backend("eager", source="module"),
    "relay": Backend("relay.library", source="onnx", builds=True),
    "relay-stock": Backend("relay.library", source="onnx", builds=True),
    "onnxruntime": Backend("onnxruntime", source="onnx"),
    "null": Backend("null", source="module"),
}
FRONTENDS = {"onnx": "onnx", "pytorch": "torchscript"}  # of Relay: name -> kind of source


def named(name: str) -> Backend:
    """The backend `name`; one with a dot is the user's own module, which takes ONNX files.

    Raises `UserError` with the near names.
    """
    if "." in name:
        return Backend(name, source="onnx")
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    return BACKENDS[name]


def runtime(name: str) -> ModuleType:
    """Import the backend's module, in the process that uses it."""
    module = named(name).module
    return importlib.import_module(module if "." in name else f"{__name__}.{module}")
