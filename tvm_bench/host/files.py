"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replace_with(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; rename it into place at the end, delete it after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    with replace_with(path) as beside:
        beside.write_text(json.dumps(value, indent=1) + "\n")


def drop_cut_lines(path: Path) -> None:
    """Remove what is no whole line of JSON: a process that was killed while it wrote leaves half a line."""
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
