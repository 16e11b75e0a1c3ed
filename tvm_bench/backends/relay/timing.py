"""Latencies of compiled models, measured in turns, and their ratios with confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tvm
from scipy import stats
from tvm.contrib import graph_executor

TURNS, RUNS = 20, 5
# More than the usual 0.95: several candidates, and dozens of kernels, are compared with the default.
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios of times, and its confidence interval."""

    low: float
    median: float
    high: float

    @property
    def is_faster(self) -> bool:
        """Whether the whole interval is below 1."""
        return self.high < 1.0


def ratio(times: np.ndarray, reference: np.ndarray) -> Ratio:
    """`times` divided by `reference`, pair by pair. The interval is of order statistics: outliers do not move it.

    It needs at least 8 pairs; with fewer its ends are NaN, and nothing is faster.
    """
    ratios = np.asarray(times) / np.asarray(reference)
    interval = stats.quantile_test(ratios, q=1.0, p=0.5).confidence_interval(CONFIDENCE)
    return Ratio(float(interval.low), float(np.median(ratios)), float(interval.high))


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
