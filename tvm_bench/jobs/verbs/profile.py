"""The verb `profile`: the time of each kernel of a built library, and what the CPU gives at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.relay.profile import Profiled
from . import _turns, peaks


def run(artifacts: list[str], limits: bool = False) -> dict[str, Any]:
    """Returns for each of the `libraries` in the folders `artifacts` what `_turns.measured` returns.

    With `limits`, also `peaks`, the result of the verb `peaks`.
    """
    opened = [Profiled(Path(artifact)) for artifact in artifacts]
    libraries = _turns.measured(opened)
    if not limits:
        return {"libraries": libraries}
    return {"libraries": libraries, "peaks": peaks.run(opened[0].threads)}
