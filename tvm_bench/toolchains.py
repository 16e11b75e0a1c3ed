"""Which interpreter runs which backend, and which versions are installed in this one. Standard library only."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from .errors import UserError, unknown
from .measure import machine

PACKAGE = Path(__file__).parent
RELAX = PACKAGE.parent / ".venv-relax"
NO_RELAX = (
    "the relax toolchain is not installed, and the main job does not need it: only the backend 'relax' does. "
    f"To have it: python3 -m venv {RELAX} && {RELAX}/bin/pip install apache-tvm==0.27.0.post1 "
    "apache-tvm-ffi==0.1.14.post1 numpy xgboost psutil cloudpickle tornado scipy"
)

# A step runs again when the version of one of these is another than in its receipt.
VERSIONED = (*machine.PACKAGES, "apache-tvm-ffi", "openvino", "nncf", "scipy", "safetensors", "pillow", "xgboost")


def versions() -> dict[str, str]:
    """Versions of those of `VERSIONED` that this interpreter has."""
    return {name: found for name in VERSIONED if (found := version(name))}


def interpreter(toolchain: str) -> str:
    """The Python that runs `toolchain` (`main` or `relax`). Raises `UserError` where it is unknown or not installed."""
    if toolchain == "main":
        return sys.executable
    if toolchain != "relax":
        raise unknown("toolchain", toolchain, ("main", "relax"))
    python = RELAX / "bin" / "python"
    if not python.exists():
        raise UserError(NO_RELAX)
    return str(python)


def version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
