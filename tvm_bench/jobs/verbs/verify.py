"""The verb `verify`: the outputs and the speed of a built library, beside those when it was built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...backends.relay import library
from ...host import manifest

RUNS = 20


def run(artifact: str) -> dict[str, Any]:
    """Run the library in the folder `artifact` on the inputs of `golden.npz`.

    Returns `compared`, for each output its `name` and its largest difference to that of the build, as a share of that
    one's range, and `latency_ms`, the median by TVM's clock.
    """
    folder = Path(artifact)
    model = library.load(folder)
    with np.load(folder / manifest.GOLDEN) as golden:
        results = model(tuple(golden[f"input_{i}"] for i in range(len(model.inputs))))
        compared = [
            {"name": spec.name, "difference": _difference(result, golden[f"output_{i}"])}
            for i, (spec, result) in enumerate(zip(model.outputs, results, strict=True))
        ]
    return {"compared": compared, "latency_ms": float(np.median(model.time_evaluator(RUNS)))}


def _difference(result: np.ndarray, built: np.ndarray) -> float:
    if np.array_equal(result, built, equal_nan=True):
        return 0.0
    largest = np.abs(result.astype(np.float64) - built).max()
    return float(largest / (np.ptp(built.astype(np.float64)) or 1.0))
