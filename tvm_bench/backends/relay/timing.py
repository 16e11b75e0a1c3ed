"""Latencies of compiled models, measured in turns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm.contrib import graph_executor

TURNS, RUNS = 20, 5


def whole_models(libraries: Mapping[str, tvm.runtime.Module]) -> dict[str, np.ndarray]:
    """Milliseconds of one inference of each library: for each turn, the median of its runs."""
    device = tvm.cpu()
    executors = {name: graph_executor.GraphModule(library["default"](device)) for name, library in libraries.items()}
    times: dict[str, list[float]] = {name: [] for name in libraries}
    for _ in range(TURNS):
        for name, executor in executors.items():
            clock = executor.module.time_evaluator("run", device, number=1, repeat=RUNS)
            times[name].append(float(np.median(clock().results)) * 1e3)
    return {name: np.array(values) for name, values in times.items()}


def latencies(libraries: Mapping[str, tvm.runtime.Module]) -> dict[str, float]:
    """Median milliseconds of whole models, measured in turns."""
    return {name: float(np.median(times)) for name, times in whole_models(libraries).items()}
