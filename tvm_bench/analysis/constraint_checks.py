"""Checks whether a variant meets the constraints of a deployment for certain."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..spec.constraints import Constraints, option
from .accuracy import drop
from .comparable import reference
from .results import Results, Row
from .statistics import Estimate, tail


def requested(results: Results) -> Constraints:
    """The constraints in the settings of the race."""
    limits = results.settings.get("limits") or {}
    return Constraints(**{"max_p95" if name == "p95" else name: limit for name, limit in limits.items()})  # older files


@dataclass(frozen=True)
class Check:
    """A variant's value and its `limit`, in the same unit. An unknown value (None) does not meet the constraint."""

    name: str
    limit: float
    value: Estimate | None

    @property
    def met(self) -> bool | None:
        """Whether the constraint is met; None (unclear) if the limit lies inside the interval of the value."""
        if self.value is None or self.value.low > self.limit:
            return False
        return True if self.value.high <= self.limit else None

    @property
    def needed(self) -> float:
        """The lowest limit that the whole interval would meet, rounded up."""
        return math.inf if self.value is None else round_up(self.name, self.value.high)

    def __str__(self) -> str:
        noun = {"max_drop": "Top-1 drop", "max_rss": "peak memory", "max_p95": "p95"}[self.name]
        if self.value is None:
            return f"{noun} is unknown ({option(self.name)} {self.limit:g})"
        ends = (self.value.value, self.value.low, self.value.high)
        value, low, high = (amount(self.name, end) for end in ends)
        between = "" if low == high else f" [{low} to {high}]"
        if math.isinf(self.value.high):
            between = " (one round has no interval)"
        return f"{noun} {value}{between}, where {option(self.name)} allows {self.limit:g}"


def checks(row: Row, results: Results, constraints: Constraints) -> Iterator[Check]:
    """A check of the row for each constraint that is set."""
    values = {"max_drop": _drop, "max_rss": _peak, "max_p95": _tail}
    for name, limit in constraints.given().items():
        yield Check(name, limit, values[name](row, results))


def amount(name: str, value: float) -> str:
    """A value of a constraint with its unit."""
    return {"max_drop": f"{value:.2f} points", "max_rss": f"{value:.0f} MB", "max_p95": f"{value:.2f} ms"}[name]


def round_up(name: str, value: float) -> float:
    """Round up to hundredths of a point or of a millisecond, or to whole MB. Ignores floating-point errors."""
    if math.isinf(value):
        return value
    step = {"max_drop": 100, "max_rss": 1, "max_p95": 100}[name]
    return math.ceil(round(value * step, 6)) / step


def _drop(row: Row, results: Results) -> Estimate | None:
    """The Top-1 drop, without an interval: the same images give the same accuracy in every run."""
    lost = drop(row, reference(row, results))
    return lost and Estimate(*[round(lost.value, 6)] * 3)


def _peak(row: Row, results: Results) -> Estimate | None:
    """The median peak memory, with the smallest and the largest value as the interval."""
    peaks = [peak for peak in row.peak_rss_mb if peak]
    return Estimate(float(np.median(peaks)), min(peaks), max(peaks)) if peaks else None


def _tail(row: Row, results: Results) -> Estimate | None:
    if not row.rounds:
        return None
    p95 = tail(row.rounds)
    return Estimate(p95.value, 0.0, math.inf) if math.isnan(p95.low) else p95
