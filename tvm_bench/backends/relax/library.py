"""A built library of Relax, run by its virtual machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from ...host import manifest
from ...spec.tensors import Arrays, from_json

MAIN = "main"
RUNS = 15


def load(artifact: Path, *, threads: int) -> Library:
    """Open a built library, whose files are checked first. `threads` is that of the process.

    Raises `UserError` as `manifest.verify` does.
    """
    return Library(manifest.verify(artifact), artifact)


def kernel_ms(libraries: Sequence[Library]) -> list[dict[str, float]]:
    """The median milliseconds of each kernel of each library, which are run in turns. They cannot be timed after it."""
    turns = [[library.kernel_ms() for library in libraries] for _ in range(RUNS)]
    by_library = zip(*turns, strict=True)
    return [{name: float(np.median([run[name] for run in runs])) for name in runs[0]} for runs in by_library]


def arrays_of(results: Any) -> Arrays:
    """What a call of a virtual machine gave, one tensor or several, as arrays."""
    return tuple(result.numpy() for result in ([results] if hasattr(results, "numpy") else results))


class Library:
    """The compiled model in `folder`. `inputs` and `outputs` are in the order of a call's arrays."""

    def __init__(self, about: dict[str, Any], folder: Path):
        self.kernels = about["kernels"]
        self.inputs, self.outputs = from_json(about["inputs"]), from_json(about["outputs"])
        module = tvm.runtime.load_module(str(folder / manifest.LIBRARY))
        self.machine, self.device = relax.VirtualMachine(module, tvm.cpu()), tvm.cpu()
        self.given = [tvm.runtime.tensor(np.zeros(spec.shape, spec.dtype)) for spec in self.inputs]

    def __call__(self, arrays: Arrays) -> Arrays:
        """The outputs, one array each."""
        for tensor, array in zip(self.given, arrays, strict=True):
            tensor.copyfrom(array)
        results = self.machine[MAIN](*self.given)
        return arrays_of(results)

    def kernel_ms(self) -> dict[str, float]:
        """Milliseconds of each kernel in one run, all its calls together."""
        started, times = 0.0, dict.fromkeys(self.kernels, 0.0)

        def clock(_: Any, name: str, before: bool, *__: Any) -> None:
            nonlocal started
            if name in times and not before:
                times[name] += 1e3 * (time.perf_counter() - started)
            started = time.perf_counter()

        self.machine.set_instrument(clock)
        self.machine[MAIN](*self.given)
        return times

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by TVM's clock, without NumPy's copies."""
        clock = self.machine.time_evaluator(MAIN, self.device, number=1, repeat=runs)
        return [1e3 * seconds for seconds in clock(*self.given).results]
