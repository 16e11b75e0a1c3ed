"""The verb `profile_relax`: the time of each kernel of a library of Relax. It runs in the environment `relax`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.relax import library
from . import _turns


def run(artifacts: list[str], threads: int) -> dict[str, Any]:
    """The `libraries` of the verb `profile`, for those of Relax in the folders `artifacts`."""
    return {"libraries": _turns.measured([library.load(Path(artifact), threads=threads) for artifact in artifacts])}
