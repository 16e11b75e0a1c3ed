"""The time of whole models and of their kernels, run in turns: what slows the CPU for a while slows both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

MODEL_RUNS, LEAST_TURNS, SECONDS = 3, 9, 5.0


class Timed(Protocol):
    """What is timed."""

    def kernel_ms(self) -> dict[str, float]:
        """Milliseconds of each kernel in one run with warm caches, all its calls together."""
        ...

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs of the whole model."""
        ...


def measured(libraries: Sequence[Timed]) -> list[dict[str, Any]]:
    """For each library `kernels`, the median milliseconds of each, and `model_ms`, the median of the whole."""
    kernels: list[list[dict[str, float]]] = [[] for _ in libraries]
    models: list[list[float]] = [[] for _ in libraries]
    ends = time.monotonic() + SECONDS
    while len(kernels[0]) < LEAST_TURNS or time.monotonic() < ends:
        for library, runs, whole in zip(libraries, kernels, models, strict=True):
            runs.append(library.kernel_ms())
            whole += library.time_evaluator(MODEL_RUNS)
    return [
        {
            "kernels": {name: float(np.median([run[name] for run in runs])) for name in runs[0]},
            "model_ms": float(np.median(whole)),
        }
        for runs, whole in zip(kernels, models, strict=True)
    ]
