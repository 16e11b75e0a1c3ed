"""The verb `profile`: the time of each kernel of a built library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.relay import profile
from ...backends.relay.artifact import open_verified


def run(artifact: str) -> dict[str, Any]:
    """Returns `kernels`: the time in ms of each kernel of the library in the folder `artifact`, in execution order."""
    _, library = open_verified(Path(artifact))
    (times,) = profile.kernels(library)
    return {"kernels": times}
