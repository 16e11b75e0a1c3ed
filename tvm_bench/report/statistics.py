"""Numbers with their uncertainty.

Samples of one process are not independent (memory layout, frequency, neighbours), so whole rounds are resampled, never
samples: Kalibera and Jones, "Rigorous benchmarking in reasonable time" (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..results import Results, Row

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
PERCENTILES = (50, 90, 95, 99)

Rounds = list[list[float]]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; both ends are NaN where the data say nothing about it (a single round)."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval. An unknown interval excludes nothing."""
        return self.low > value or self.high < value


def median(rounds: Rounds) -> Estimate:
    """Median over the rounds of each round's median, with a bootstrap interval; the unit of the samples."""
    per_round = round_medians(rounds)
    return _estimate(float(np.median(per_round)), np.median(per_round[_draws(len(rounds))], axis=1), len(rounds))


def ratio(rounds: Rounds, other: Rounds) -> Estimate:
    """Median of `rounds` over that of `other`: above 1, `other` is the faster one.

    Round i of both ran side by side, so one draw of rounds serves both: what slowed both down cancels. Raises
    `ValueError` where the numbers of rounds differ.
    """
    if len(rounds) != len(other):
        raise ValueError(f"cannot pair {len(rounds)} rounds with {len(other)}")
    above, below, draws = round_medians(rounds), round_medians(other), _draws(len(rounds))
    resampled = np.median(above[draws], axis=1) / np.median(below[draws], axis=1)
    return _estimate(float(np.median(above) / np.median(below)), resampled, len(rounds))


def percentiles(rounds: Rounds) -> dict[int, float]:
    """The 50th, 90th, 95th and 99th percentile of all samples; the unit of the samples."""
    return dict(zip(PERCENTILES, map(float, np.percentile(np.concatenate(rounds), PERCENTILES)), strict=True))


def wilson(share: float, count: int) -> Estimate:
    """A share (0 to 1) of `count` trials with Wilson's score interval (Wilson 1927, without continuity correction)."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    shrink = 1 / (1 + z**2 / count)
    middle = shrink * (share + z**2 / (2 * count))
    half = shrink * z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def round_medians(rounds: Rounds) -> np.ndarray:
    """Each round's median, shape (rounds,)."""
    return np.array([np.median(samples) for samples in rounds])


def speed_up(row: Row, results: Results) -> Estimate | None:
    """How many times as fast as FP32 eager; None where one of the two was not timed, and for FP32 eager itself."""
    reference = results.reference
    if reference is None or row is reference or not (row.rounds and reference.rounds):
        return None
    return ratio(reference.rounds, row.rounds)


def by_latency(results: Results) -> list[Row]:
    """The timed rows, fastest first."""
    return sorted((row for row in results.variants if row.rounds), key=lambda row: np.median(round_medians(row.rounds)))


def _draws(rounds: int) -> np.ndarray:
    """Indices of resampled rounds, shape (RESAMPLES, rounds): the same for every variant, which pairs the rounds."""
    return np.random.default_rng(SEED).integers(rounds, size=(RESAMPLES, rounds))


def _estimate(value: float, resampled: np.ndarray, rounds: int) -> Estimate:
    if rounds == 1:
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))
