"""Latencies, ratios and percentiles with confidence intervals.

Samples of one process are not independent (memory layout, frequency, neighbours), so a round counts as one observation:
Kalibera and Jones, "Rigorous benchmarking in reasonable time" (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .comparable import reference
from .results import Results, Row

CONFIDENCE = 0.95  # of the intervals of values
# Of the intervals that decide who is faster. At 95 %, an A/A race would find a winner once in 20 times, and among
# dozens of pairs two runs would soon contradict each other.
DECISION = 0.99
# The memory layout of a run can favour a variant in all its rounds, which no interval shows; and so small a difference
# decides no deployment.
RELEVANT = 0.01
POWER = 0.80
MOST_ROUNDS = 1000
RESAMPLES = 10_000
SEED = 0
PERCENTILES = (50, 90, 95, 99)

Rounds = list[list[float]]


@dataclass(frozen=True)
class Estimate:
    """A value and its confidence interval, by default of 95 %; both ends are NaN if there are too few data."""

    value: float
    low: float
    high: float

    @property
    def direction(self) -> int:
        """For a ratio: 1 or -1 if the interval lies above or below 1 by more than `RELEVANT`, else 0."""
        return int(self.low > 1 + RELEVANT) - int(self.high < 1 / (1 + RELEVANT))


def mean_latency(rounds: Rounds) -> Estimate:
    """The geometric mean over the rounds of each round's median, with Student's interval; the unit of the samples.

    The `ratio` of two rows is the quotient of their mean latencies.
    """
    return _student(np.log(round_medians(rounds)), CONFIDENCE)


def tail(rounds: Rounds) -> Estimate:
    """The 95th percentile of all samples, with a bootstrap interval over the rounds; the unit of the samples."""
    samples = [np.asarray(times) for times in rounds]
    draws = _draws(len(rounds))[: RESAMPLES // 10]
    resampled = np.array([np.percentile(np.concatenate([samples[i] for i in draw]), 95) for draw in draws])
    return _estimate(percentiles(rounds)[95], resampled, len(rounds))


def ratio(rounds: Rounds, other: Rounds, confidence: float = CONFIDENCE) -> Estimate:
    """How many times as long `rounds` took as `other`: the geometric mean over the rounds, with Student's interval.

    Round i of both ran side by side, so the statistic is the logarithm of each round's ratio: disturbances of both
    cancel. A bootstrap of five rounds gives intervals that are too narrow; Student's t does not. Raises `ValueError`
    if the numbers of rounds differ.
    """
    return _student(_log_ratios(rounds, other), confidence)


def change(new: Rounds, old: Rounds, confidence: float = DECISION) -> Estimate:
    """How many times as long `new` took as `old`, of two runs whose rounds are not paired, with Welch's interval."""
    from scipy.stats import ttest_ind

    above, below = np.log(round_medians(new)), np.log(round_medians(old))
    value = above.mean() - below.mean()
    if min(len(above), len(below)) < 2:
        return Estimate(math.exp(value), math.nan, math.nan)
    if np.ptp(above) == np.ptp(below) == 0:
        return Estimate(*[math.exp(value)] * 3)
    ends = ttest_ind(above, below, equal_var=False).confidence_interval(confidence)
    return Estimate(math.exp(value), math.exp(ends.low), math.exp(ends.high))


def rounds_to_tell(rounds: Rounds, other: Rounds) -> int | None:
    """The number of rounds that name the faster one with probability `POWER`, if the ratio so far is true.

    From the variance between the rounds so far, by the noncentral t distribution. None if they differ by less than
    `RELEVANT`, if there is only one round, and for more than `MOST_ROUNDS`.
    """
    from scipy.stats import nct, t

    logs = _log_ratios(rounds, other)
    effect = abs(logs.mean()) - math.log1p(RELEVANT)
    if len(logs) < 2 or effect <= 0:
        return None
    spread = max(logs.std(ddof=1), np.finfo(float).tiny)
    counts = np.arange(2, MOST_ROUNDS + 1)
    critical = t.ppf((1 + DECISION) / 2, counts - 1)
    enough = counts[nct.sf(critical, counts - 1, np.minimum(effect / spread * np.sqrt(counts), 1e3)) >= POWER]
    return int(enough[0]) if len(enough) else None


def percentiles(rounds: Rounds) -> dict[int, float]:
    """The 50th, 90th, 95th and 99th percentile of all samples; the unit of the samples."""
    return dict(zip(PERCENTILES, map(float, np.percentile(np.concatenate(rounds), PERCENTILES)), strict=True))


def round_medians(rounds: Rounds) -> np.ndarray:
    """Each round's median, shape (rounds,)."""
    return np.array([np.median(samples) for samples in rounds])


def speed_up(row: Row, results: Results) -> Estimate | None:
    """How many times as fast as the reference; None for the reference itself, and if one of the two was not timed."""
    base = reference(row, results)
    if base is None or row is base or not (row.rounds and base.rounds):
        return None
    return ratio(base.rounds, row.rounds)


def by_latency(results: Results) -> list[Row]:
    """The timed rows, fastest first."""
    return sorted((row for row in results.variants if row.rounds), key=lambda row: mean_latency(row.rounds).value)


def _log_ratios(rounds: Rounds, other: Rounds) -> np.ndarray:
    if len(rounds) != len(other):
        raise ValueError(f"cannot pair {len(rounds)} rounds with {len(other)}")
    return np.log(round_medians(rounds) / round_medians(other))


def _student(logs: np.ndarray, confidence: float) -> Estimate:
    from scipy.stats import t

    value, count = logs.mean(), len(logs)
    if count == 1:
        return Estimate(math.exp(value), math.nan, math.nan)
    half = t.ppf((1 + confidence) / 2, count - 1) * logs.std(ddof=1) / math.sqrt(count)
    return Estimate(math.exp(value), math.exp(value - half), float(np.exp(value + half)))


def _draws(rounds: int) -> np.ndarray:
    """Indices of resampled rounds, shape (RESAMPLES, rounds)."""
    return np.random.default_rng(SEED).integers(rounds, size=(RESAMPLES, rounds))


def _estimate(value: float, resampled: np.ndarray, rounds: int) -> Estimate:
    if rounds == 1:
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))
