"""Installed packages and the C++ compiler: which are needed, their versions, and errors if one is missing.

The list of packages is that of setup.cfg. Standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path

from ..spec.backends import BACKENDS
from ..spec.errors import Unavailable, UserError

ONNXRUNTIME_GPU = "pip uninstall onnxruntime, then pip install onnxruntime-gpu of the same version: both are one module"
CURES = {  # of packages that `make peers` does not install
    "tensorrt": "pip install tensorrt, for the CUDA of torch",
    "onnxruntime-gpu": ONNXRUNTIME_GPU,
    "triton": "a CUDA build of torch brings it",
}
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*==\s*(?P<pin>[\w.+-]+)(?:.*extra\s*==\s*[\"'](?P<extra>\w+)[\"'])?")
BOTH_TVMS = ("xtc-tvm-python-bindings", "apache-tvm")  # of Relay and of Relax
COMPILERS = ("g++", "gcc", "clang++", "clang")
COMPILER_CACHES = ("ccache", "sccache", "distcc")  # programs that may precede the compiler in $CXX


def required(extra: str = "workbench") -> dict[str, str]:
    """Package -> pinned version, of one `extra` of setup.cfg.

    Empty if tvm-bench itself is not installed.
    """
    try:
        lines = metadata.requires("tvm-bench") or []
    except metadata.PackageNotFoundError:
        return {}
    matches = [match for line in lines if (match := REQUIREMENT.match(line))]
    return {match["name"]: match["pin"] for match in matches if match["extra"] == extra}


@cache
def _versioned() -> tuple[str, ...]:
    """Names of all packages that a step may use; of all that are installed if those of setup.cfg are not known."""
    optional = {name for backend in BACKENDS.values() for name in backend.packages}
    names = {*required(), *required("peers")} or {distribution.name for distribution in metadata.distributions()}
    return tuple(sorted(names | optional))


def versions() -> dict[str, str]:
    """Versions of the installed packages: a step runs again if one differs from its receipt."""
    return {name: installed for name in _versioned() if (installed := version(name))}


def need(packages: Iterable[str], *, gpu: bool = False) -> None:
    """Raise `Unavailable` if one of `packages`, which are not in the workbench, is missing.

    With `gpu`, also if a GPU or a CUDA build of torch is.
    """
    if gpu:
        _need_gpu()
    if lacking := [name for name in packages if not version(name)]:
        cure = next((CURES[name] for name in lacking if name in CURES), "make peers")
        raise Unavailable(f"{' and '.join(lacking)}: not installed. Install it: {cure}")


def _need_gpu() -> None:
    if not Path("/dev/nvidiactl").exists():
        raise Unavailable("needs an NVIDIA GPU with its driver, and this machine has none")
    place = folder("torch")
    if place and not cuda_of((place / "version.py").read_text()):
        raise Unavailable(
            f"needs a CUDA build of torch, and torch {version('torch')} is none. Install it: pip install torch, with "
            "the index that pytorch.org names for CUDA under Get started"
        )


def cuda_of(text: str) -> str | None:
    """The version of CUDA in the text of torch's `version.py`, which is not imported; None for a CPU build."""
    found = re.search(r"^cuda\b[^=]*=\s*['\"](.+)['\"]", text, re.MULTILINE)
    return found[1] if found else None


def folder(package: str) -> Path | None:
    """The folder of an installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let imports in the block fail to find `package`, unless it is imported already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # for `import`, a module that does not exist
    try:
        yield
    finally:
        del sys.modules[package]


def need_workbench() -> None:
    """Raise `UserError` if the packages that compile and measure are not installed, as on a machine that only runs.

    Also if both generations of TVM are installed here.
    """
    if not folder("torch"):
        raise UserError(
            "this needs the workbench, and here only what runs libraries is installed. "
            "Install it: pip install 'tvm-bench[workbench]'"
        )
    if all(map(version, BOTH_TVMS)):
        raise UserError(
            f"{' and '.join(BOTH_TVMS)} are both installed in '{sys.prefix}', and both are imported as `tvm`. Remove "
            f"them: pip uninstall {' '.join(BOTH_TVMS)}. Then: make setup. Relax has an environment of its own: make "
            "relax."
        )


def compiler() -> str | None:
    """The path of the C++ compiler; None if there is none.

    It is $CXX, without a compiler cache before it and without options after it, or else the first of `COMPILERS` on
    PATH.
    """
    setting = os.environ.get("CXX", "").strip()
    words = [word for word in setting.split() if Path(word).name not in COMPILER_CACHES]
    names = (words[0], setting) if words else () if setting else COMPILERS  # all of it, for a path with spaces
    return next(filter(None, map(shutil.which, names)), None)


def need_compiler(user: str) -> str:
    """The path of the C++ compiler that `user` will call. Raises `UserError` without one."""
    if path := compiler():
        return path
    if setting := os.environ.get("CXX", "").strip():
        raise UserError(
            f"{user} needs a C++ compiler, and $CXX is '{setting}', which was not found. "
            "Unset CXX, or install it: apt-get install g++"
        )
    raise UserError(f"no C++ compiler found, which {user} needs. Install it: apt-get install g++")


def version(name: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
