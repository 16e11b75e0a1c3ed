"""Receipts of finished jobs, and when they may be reused. The parent's side."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ..host import cpu
from ..host.files import sha256

PACKAGE = Path(__file__).parents[1]
# Rooms and files that only the parent runs: a change in them leaves all receipts valid.
PARENT_ONLY = (
    *("cli", "api", "pipeline", "analysis", "report", "relay_view"),
    *("jobs/launcher.py", "jobs/planning.py", "jobs/receipts.py"),
)


def key(
    verb: str,
    request: dict[str, Any],
    inputs: tuple[Path, ...],
    depends: str,
    threads: int,
    versions: dict[str, str],
) -> str:
    """The cache key of a job: SHA-256, in hexadecimal, of everything that can change its result."""
    parts = {
        "verb": verb,
        "request": request,
        "inputs": [sha256(path) for path in inputs],
        "depends": depends,
        "threads": threads,
        "versions": versions,
        "code": _code(),
        "cpu": [cpu.model_name(), sorted(cpu.host_features())],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def valid(path: Path, key: str) -> dict[str, Any] | None:
    """The receipt at `path` if its key is `key`, and its outputs and the user's sources are unchanged; else None."""
    try:
        receipt = json.loads(path.read_text())
        if receipt["key"] != key:
            return None
        files = {**receipt["sources"], **receipt["outputs"]}
        unchanged = all(sha256(Path(name)) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return receipt if unchanged else None


@cache
def _code() -> str:
    """SHA-256 of the package's code that runs in workers."""
    digest = hashlib.sha256()
    for file in child_files():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def child_files() -> list[Path]:
    """The package's Python files that run in workers."""
    parent_only = [PACKAGE / name for name in PARENT_ONLY]
    return [
        file for file in sorted(PACKAGE.rglob("*.py")) if not any(file.is_relative_to(path) for path in parent_only)
    ]
