"""The time of whole models, run in turns."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ._golden import Runs

MODEL_RUNS, LEAST_TURNS, SECONDS = 10, 3, 4.0


def model_ms(libraries: Sequence[Runs]) -> list[float]:
    """The median milliseconds of one inference of each library."""
    turns: list[list[list[float]]] = []
    ends = time.monotonic() + SECONDS
    while len(turns) < LEAST_TURNS or time.monotonic() < ends:
        turns.append([library.time_evaluator(MODEL_RUNS) for library in libraries])
    return [float(np.median(np.concatenate(runs))) for runs in zip(*turns, strict=True)]
