"""What a built library answers: written beside it by the verbs `build` and `build_relax`, so that others can check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...data import synthetic
from ...host import manifest
from ...host.files import replace_with
from ...measure import timed_inputs
from ...spec.tensors import Arrays, TensorSpec

REPEATS = 30


class Runs(Protocol):
    """A library that was opened."""

    inputs: tuple[TensorSpec, ...]

    def __call__(self, arrays: Arrays) -> Arrays: ...

    def time_evaluator(self, runs: int) -> list[float]: ...


def write(folder: Path, library: Runs) -> dict[str, Any]:
    """Run the library on seeded inputs, write inputs and outputs to `golden.npz`, and time it."""
    samples = synthetic.arrays(library.inputs, timed_inputs.needed(library.inputs))
    inputs = timed_inputs.windows(library.inputs, samples)[0]
    golden: dict[str, Any] = {f"input_{i}": array for i, array in enumerate(inputs)}
    golden |= {f"output_{i}": array for i, array in enumerate(library(inputs))}
    with replace_with(folder / manifest.GOLDEN) as path:
        np.savez_compressed(path, **golden)
    return {"latency_ms_when_built": float(np.median(library.time_evaluator(REPEATS)))}


def outputs(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str], batch: int
) -> list[TensorSpec]:
    """The outputs of a library: batched if their first size is the batch size."""
    return [
        TensorSpec(name, shape, dtype, batched=shape[:1] == (batch,))
        for name, shape, dtype in zip(names, shapes, dtypes, strict=True)
    ]
