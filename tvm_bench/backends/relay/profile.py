"""Profiles a built model: the time of each kernel inside the model, with the data of its neighbours in the caches."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import tvm
from tvm.contrib.debugger.debug_executor import GraphModuleDebug

from .artifact import open_verified
from .library import Library

RUNS = 15


class Profiled:
    """The built library in a folder, opened twice: to time its kernels, and to time the whole model.

    Raises `UserError` as `open_verified` does.
    """

    def __init__(self, artifact: Path):
        about, module = open_verified(artifact)
        self.threads = about["threads"]
        self.executor = opened(module)
        self.whole = Library(about, artifact, self.threads)

    def kernel_ms(self) -> dict[str, float]:
        """Milliseconds of each kernel in one run, all its calls together. A run before it warms the caches."""
        self.executor.profile()
        return _one_run(self.executor)

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs of the whole model."""
        return self.whole.time_evaluator(runs)


def opened(library: tvm.runtime.Module) -> GraphModuleDebug:
    """A profiling executor for a graph executor factory, which is the result of `relay.build` or a loaded `lib.so`."""
    device = tvm.cpu()
    return GraphModuleDebug(library["debug_create"]("default", device), [device], library["get_graph_json"](), None)


def kernel_runs(*libraries: tvm.runtime.Module) -> list[dict[str, np.ndarray]]:
    """Milliseconds by kernel of each library, all its calls together: one value for each run, taken in turns."""
    executors = [opened(library) for library in libraries]
    runs: list[dict[str, list[float]]] = [defaultdict(list) for _ in libraries]
    for _ in range(RUNS):
        for executor, times in zip(executors, runs, strict=True):
            for name, milliseconds in _one_run(executor).items():
                times[name].append(milliseconds)
    return [{name: np.array(values) for name, values in times.items()} for times in runs]


def kernels(*libraries: tvm.runtime.Module) -> list[dict[str, float]]:
    """Milliseconds by kernel of each library, all its calls together: the medians of `kernel_runs`."""
    return [{name: float(np.median(values)) for name, values in times.items()} for times in kernel_runs(*libraries)]


def _one_run(executor: GraphModuleDebug) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for call in executor.profile().calls:
        total[str(call["Name"])] += call["Duration (us)"].microseconds / 1e3
    return total
