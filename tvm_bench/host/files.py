"""Atomic file writes (temporary file and rename), and checks of written files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any


@contextmanager
def replace_with(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` at the end, delete it after an error.

    Temporary files that killed processes left there for `path` are deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        writer = leftover.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)
        if writer.isdecimal() and not _runs(int(writer)):
            leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with replace_with(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def drop_cut_lines(path: Path) -> None:
    """Remove lines that are not complete JSON: a process that is killed while it writes leaves half a line."""
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    complete = [line for line in lines if line.endswith("\n") and _is_json(line)]
    if len(complete) < len(lines):
        with replace_with(path) as temporary:
            temporary.write_text("".join(complete))


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
        return True
    except ValueError:
        return False


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
