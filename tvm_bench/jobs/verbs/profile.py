"""The verb `profile`: the time of each kernel of a built library, and what the CPU gives at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.relay import profile
from ...backends.relay.artifact import open_verified
from ...backends.relay.library import Library
from . import _turns, peaks


def run(artifacts: list[str], limits: bool = False) -> dict[str, Any]:
    """Returns for each of the `libraries` in the folders `artifacts`, which are run in turns:

    `kernels`, the time in ms of each of its kernels, in execution order, and `model_ms`, the median time of the whole.
    With `limits`, also `peaks`, the result of the verb `peaks`.
    """
    opened = [open_verified(Path(artifact)) for artifact in artifacts]
    times = profile.kernels(*(library for _, library in opened))
    whole = [
        Library(about, Path(artifact), about["threads"]) for (about, _), artifact in zip(opened, artifacts, strict=True)
    ]
    libraries = [
        {"kernels": kernels, "model_ms": ms} for kernels, ms in zip(times, _turns.model_ms(whole), strict=True)
    ]
    if not limits:
        return {"libraries": libraries}
    threads = opened[0][0]["threads"]
    return {"libraries": libraries, "peaks": peaks.run(threads)}
