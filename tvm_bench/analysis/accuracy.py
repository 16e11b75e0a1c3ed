"""Accuracies with intervals, and the comparison of two variants on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .results import Row
from .statistics import CONFIDENCE, DECISION, Estimate

Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Pair:
    """How many of `images` only the first variant classified correctly, and how many only the second."""

    only_first: int
    only_second: int
    images: int

    @property
    def p(self) -> float:
        """McNemar's mid-p value for the null hypothesis of equal accuracies (Fagerland et al. 2013)."""
        from scipy.stats import binom

        split = binom(self.only_first + self.only_second, 0.5)
        fewer = min(self.only_first, self.only_second)
        return 1.0 if self.only_first == self.only_second else float(2 * split.cdf(fewer) - split.pmf(fewer))

    @property
    def difference(self) -> Estimate:
        """The first's share of correct images minus the second's, with the interval of Bonett and Price (2012)."""
        value = (self.only_first - self.only_second) / self.images
        first, second = ((count + 1) / (self.images + 2) for count in (self.only_first, self.only_second))
        half = Z * math.sqrt((first + second - (first - second) ** 2) / (self.images + 2))
        return Estimate(value, first - second - half, first - second + half)

    @property
    def differ(self) -> bool:
        """Whether their accuracies differ, at the confidence level `DECISION`."""
        return self.p < 1 - DECISION


def pair(first: Row, second: Row) -> Pair | None:
    """The comparison; None if a row was not scored, has no recorded hits, or was scored on other images."""
    if not (first.hits and second.hits and first.images == second.images):
        return None
    one, two = _correct(first), _correct(second)
    return Pair(int((one & ~two).sum()), int((two & ~one).sum()), len(one))


def drop(row: Row, reference: Row | None) -> Estimate | None:
    """Top-1 of the reference minus that of the row, in percentage points.

    The interval is NaN without hits, the result None without a score.
    """
    if reference is None or row.top1 is None or reference.top1 is None:
        return None
    value = 100 * (reference.top1 - row.top1)
    if not (both := pair(reference, row)):
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, 100 * both.difference.low, 100 * both.difference.high)


def wilson(share: float, count: int) -> Estimate:
    """A share (0 to 1) of `count` images with Wilson's score interval (Wilson 1927, without continuity correction)."""
    from scipy.stats import binomtest

    interval = binomtest(round(share * count), count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(share, float(interval.low), float(interval.high))


def _correct(row: Row) -> np.ndarray:
    packed = np.frombuffer(bytes.fromhex(row.hits or ""), np.uint8)
    return np.unpackbits(packed, count=row.images).astype(bool)
