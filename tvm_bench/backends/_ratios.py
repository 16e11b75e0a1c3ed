"""Ratios of times that were measured in turns, with confidence intervals, and the candidate that they select."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

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


def select(ratios: Mapping[str, Ratio]) -> str:
    """The candidate with the smallest ratio to the default's time; `default` if none is clearly faster."""
    faster = {name: ratio.median for name, ratio in ratios.items() if ratio.is_faster}
    return min(faster, key=lambda name: faster[name], default="default")
