"""The manifest of a built library, and the checks before the library is opened. Standard library only.

The checks are of integrity, not of authenticity: whoever can change the library can change its manifest too. Open only
libraries from people whom you trust.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..spec.errors import UserError
from . import cpu
from .files import sha256

NAME = "manifest.json"
LIBRARY = "lib.so"
GOLDEN = "golden.npz"  # inputs, and the outputs of the library for them when it was built
SCHEMA = 2
# The entries that readers of a manifest need, and their types.
KEYS = {
    "files": dict,
    "cpu_features": list,
    "target": str,
    "threads": int,
    "inputs": list,
    "outputs": list,
    "spec": dict | None,
    "classes": list,
    "kernels": dict,
}


def read(artifact: Path) -> dict[str, Any]:
    """Read `artifact/manifest.json`. Raises `UserError` if there is none, it is damaged, or a key is missing."""
    path = artifact / NAME
    if not path.is_file():
        raise UserError(f"'{artifact}' is not a built artifact: it has no {NAME}. Build one with `tvm-bench build`.")
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"'{path}' is damaged ({error}). Build it again with `tvm-bench build`.") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise UserError(f"'{path}' has schema {schema}; this version reads {SCHEMA}. Build it again.")
    if wrong := [key for key, kind in KEYS.items() if not isinstance(manifest.get(key, ...), kind)]:
        raise UserError(f"'{path}' is damaged: no usable {', '.join(wrong)}. Build it again with `tvm-bench build`.")
    return manifest


def verify(artifact: Path) -> dict[str, Any]:
    """Check files and CPU **before** anything is opened, and return the manifest.

    Opening a shared library runs code, and code for another CPU crashes with SIGILL. Raises `UserError` as
    `verify_files` does, and for vector features that this CPU lacks.
    """
    manifest = verify_files(artifact)
    if lacking := cpu.missing(manifest["cpu_features"]):
        raise UserError(
            f"'{artifact}' was built for {manifest['target']}, and this CPU ({cpu.model_name()}) lacks "
            f"{', '.join(lacking)}. It was not opened. Build it here, or with a --target that both CPUs support."
        )
    return manifest


def verify_files(artifact: Path) -> dict[str, Any]:
    """Check the files, and return the manifest.

    Raises `UserError` for a manifest that does not list the library, and for a missing or changed file.
    """
    manifest = read(artifact)
    if LIBRARY not in manifest["files"]:
        raise UserError(
            f"'{artifact / NAME}' lists no {LIBRARY}, so the library cannot be checked. It was not opened. "
            "Build it again with `tvm-bench build`."
        )
    for name, digest in manifest["files"].items():
        path = artifact / name
        if not path.is_file():
            raise UserError(f"'{path}' is missing. Copy the whole folder, or build it again with `tvm-bench build`.")
        if sha256(path) != digest:
            raise UserError(
                f"'{path}' is not the file that was built (its SHA-256 differs). It was not opened. "
                "Copy the whole folder again, or build it again with `tvm-bench build`."
            )
    return manifest


def need_relay(artifact: Path, manifest: dict[str, Any]) -> None:
    """Raise `UserError` for a library that Relay's runtime cannot open."""
    if environment := manifest.get("environment"):
        raise UserError(
            f"'{artifact}' is a library of {environment.capitalize()}, which Relay's runtime cannot open. Time it with "
            f"`tvm-bench bench --backends {environment}`, and see what is in it with `inspect` and `explain`."
        )


def need_golden(artifact: Path, manifest: dict[str, Any]) -> None:
    """Raise `UserError` if there are no outputs of the build to compare with."""
    if GOLDEN not in manifest["files"]:
        raise UserError(
            f"'{artifact}' was built on a machine that cannot run it, so there are no outputs to compare with. Its "
            "files and this CPU are right."
        )
