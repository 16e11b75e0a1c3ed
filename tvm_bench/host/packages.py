"""Installed packages: their versions, and errors for those that are missing. Standard library only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ..spec.errors import Unavailable, UserError
from . import machine

TENSORRT = "pip install tensorrt, beside a CUDA build of torch"

# A step runs again when the version of one of these is another than in its receipt.
VERSIONED = (*machine.PACKAGES, "apache-tvm-ffi", "scipy", "safetensors", "pillow", "xgboost")


def versions() -> dict[str, str]:
    """Versions of those of `VERSIONED` that this interpreter has."""
    return {name: found for name in VERSIONED if (found := version(name))}


def need(packages: Iterable[str], *, gpu: bool = False) -> None:
    """Raise `Unavailable` without one of `packages`, which are not in the main install, or without the `gpu`."""
    if gpu and not Path("/dev/nvidiactl").exists():
        raise Unavailable("needs an NVIDIA GPU with its driver, and this machine shows none")
    if lacking := [name for name in packages if not version(name)]:
        cure = TENSORRT if "tensorrt" in lacking else "make peers"
        raise Unavailable(f"{' and '.join(lacking)}: not installed. To have it: {cure}")


def need_compiler(user: str) -> str:
    """The path of the C++ compiler that `user` will call: $CXX, or the first found. Raises `UserError` without one."""
    for name in (os.environ.get("CXX", ""), "g++", "gcc", "clang++", "clang"):
        if name and (path := shutil.which(name)):
            return path
    raise UserError(f"no C++ compiler found, which {user} needs. Install it: apt-get install g++")


def version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
