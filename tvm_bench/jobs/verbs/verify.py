"""The verb `verify`: the outputs and the speed of a built library, beside those when it was built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...backends.relay import library

RUNS = 20


def run(artifact: str) -> dict[str, Any]:
    """Run the library in the folder `artifact` on the inputs of its build.

    Returns `differences` (see `Library.verify`), and `latency_ms`, the median by TVM's clock.
    """
    model = library.load(Path(artifact))
    return {"differences": model.verify(), "latency_ms": float(np.median(model.time_evaluator(RUNS)))}
