"""What a built library answers: written beside it by the verbs `build` and `build_relax`, so that others can check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...data import synthetic
from ...host import manifest
from ...host.files import replace_with, sha256, write_json
from ...measure import timed_inputs
from ...spec.tensors import Arrays, TensorSpec

REPEATS = 30


class Runs(Protocol):
    """A library that was opened."""

    inputs: tuple[TensorSpec, ...]

    def __call__(self, arrays: Arrays) -> Arrays: ...

    def time_evaluator(self, runs: int) -> list[float]: ...


def finish(folder: Path, entry: dict[str, Any], opened: Callable[[], Runs] | None) -> dict[str, Any]:
    """Write the golden answers and the manifest with `entry`; returns the result of the verb.

    `opened` opens the library; None: this CPU cannot run it.
    """
    names = [manifest.LIBRARY]
    if opened:
        entry = entry | _write(folder, opened())
        names.append(manifest.GOLDEN)
    else:
        (folder / manifest.GOLDEN).unlink(missing_ok=True)  # left by an earlier build for this CPU
    write_json(folder / manifest.NAME, entry | {"files": {name: sha256(folder / name) for name in names}})
    return {"outputs": [str(folder / name) for name in (*names, manifest.NAME)]}


def _write(folder: Path, library: Runs) -> dict[str, Any]:
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
