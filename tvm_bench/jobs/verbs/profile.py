"""The verb `profile`: the time of each kernel of a built library, and what the CPU gives at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...backends.relay import peaks, profile, target
from ...backends.relay.artifact import open_verified
from ...backends.relay.library import Library

MODEL_RUNS = 30


def run(artifact: str, limits: bool = False) -> dict[str, Any]:
    """Returns `kernels`: the time in ms of each kernel of the library in the folder `artifact`, in execution order.

    With `limits`, also `peaks`: 10^9 operations and bytes per second of this CPU, see `backends.relay.peaks`, and
    `model_ms`: the median time of the whole model.
    """
    about, library = open_verified(Path(artifact))
    (times,) = profile.kernels(library)
    if not limits:
        return {"kernels": times}
    whole = Library(about, Path(artifact), about["threads"]).time_evaluator(MODEL_RUNS)
    given = peaks.measured(target.resolve(None, about["threads"]), about["threads"])
    return {"kernels": times, "peaks": given, "model_ms": float(np.median(whole))}
