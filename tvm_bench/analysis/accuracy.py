"""Accuracies with their uncertainty, and two variants compared on the same images."""

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
    """Of `images`, those that only the first variant classified correctly, and those that only the second did."""

    only_first: int
    only_second: int
    images: int

    @property
    def p(self) -> float:
        """McNemar's mid-p: how likely as unlike a split is if both are equally accurate. Fagerland et al. (2013)."""
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
        """Whether one of the two is more accurate, by the confidence that any decision takes."""
        return self.p < 1 - DECISION


def pair(first: Row, second: Row) -> Pair | None:
    """The two on the same images; None where one was not scored, or on other images, or hits were not recorded."""
    if not (first.hits and second.hits and first.images == second.images):
        return None
    one, two = _correct(first), _correct(second)
    return Pair(int((one & ~two).sum()), int((two & ~one).sum()), len(one))


def drop(row: Row, reference: Row | None) -> Estimate | None:
    """Percentage points of Top-1 that the row lost against the reference, without interval where hits are missing."""
    if reference is None or row.top1 is None or reference.top1 is None:
        return None
    value = 100 * (reference.top1 - row.top1)
    if not (found := pair(reference, row)):
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, 100 * found.difference.low, 100 * found.difference.high)


def wilson(share: float, count: int) -> Estimate:
    """A share (0 to 1) of `count` trials with Wilson's score interval (Wilson 1927, without continuity correction)."""
    shrink = 1 / (1 + Z**2 / count)
    middle = shrink * (share + Z**2 / (2 * count))
    half = shrink * Z * math.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    # Rounding may leave an end on the wrong side of a share of 0 or 1.
    return Estimate(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def _correct(row: Row) -> np.ndarray:
    packed = np.frombuffer(bytes.fromhex(row.hits or ""), np.uint8)
    return np.unpackbits(packed, count=row.images).astype(bool)
