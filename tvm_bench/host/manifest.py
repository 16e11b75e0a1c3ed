"""What a built library says of itself, and the check that comes before it is opened. Standard library only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..spec.errors import UserError
from . import cpu
from .files import sha256

NAME = "manifest.json"
SCHEMA = 1


def read(artifact: Path) -> dict[str, Any]:
    """Read `artifact/manifest.json`. Raises `UserError` where there is none, or it is damaged."""
    path = artifact / NAME
    if not path.is_file():
        raise UserError(f"'{artifact}' is not a built artifact: it has no {NAME}. Build one with `tvm-bench build`.")
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"'{path}' is damaged ({error}). Build it again with `tvm-bench build`.") from error
    if manifest.get("schema") != SCHEMA:
        raise UserError(f"'{path}' has schema {manifest.get('schema')}; this version reads {SCHEMA}. Build it again.")
    return manifest


def verify(artifact: Path) -> dict[str, Any]:
    """Check files and CPU **before** anything is opened, and return the manifest.

    Opening a shared library runs code, and code for another CPU dies of SIGILL: raises `UserError` for a missing or
    changed file, and for vector features that this CPU lacks.
    """
    manifest = read(artifact)
    for name, digest in manifest["files"].items():
        path = artifact / name
        if not path.is_file():
            raise UserError(f"'{path}' is missing. Copy the whole folder, or build it again with `tvm-bench build`.")
        if sha256(path) != digest:
            raise UserError(f"'{path}' is not the file that was built (its SHA-256 differs). It was not opened.")
    if lacking := cpu.missing(manifest["cpu_features"]):
        raise UserError(
            f"'{artifact}' was built for {manifest['target']}, and this CPU ({cpu.model_name()}) lacks "
            f"{', '.join(lacking)}. It was not opened. Build it here, or with a --target that both CPUs know."
        )
    return manifest
