"""Atomic file writes (temporary file and rename), and checks of what was written."""

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
    """Give a path beside `path` to write to; rename it into place at the end, delete it after an error.

    What killed processes left of earlier writes of `path` is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        writer = left.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)
        if writer.isdecimal() and not _runs(int(writer)):
            left.unlink(missing_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    with replace_with(path) as beside:
        beside.write_text(json.dumps(value, indent=1) + "\n")


def drop_cut_lines(path: Path) -> None:
    """Remove lines that are not whole JSON: a process that is killed while it writes leaves half a line."""
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n") and _is_json(line)]
    if len(whole) < len(lines):
        with replace_with(path) as beside:
            beside.write_text("".join(whole))


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
