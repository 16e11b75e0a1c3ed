"""Whether a variant keeps to the limits of a race, beyond doubt."""

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


def asked(results: Results) -> Constraints:
    """The limits that the race was given."""
    return Constraints(**results.settings.get("limits") or {})


@dataclass(frozen=True)
class Check:
    """A variant's value beside a limit, in the limit's unit; None where it is unknown, which keeps to no limit."""

    name: str
    limit: float
    found: Estimate | None

    @property
    def kept(self) -> bool | None:
        """None where the limit lies inside the value's interval, so that another run could turn the answer."""
        if self.found is None or self.found.low > self.limit:
            return False
        return True if self.found.high <= self.limit else None

    @property
    def needed(self) -> float:
        """The limit that the value would keep for certain, rounded up."""
        return math.inf if self.found is None else round_up(self.name, self.found.high)

    def __str__(self) -> str:
        noun = {"max_drop": "Top-1 drop", "max_rss": "peak memory", "p95": "p95"}[self.name]
        if self.found is None:
            return f"{noun} is unknown ({option(self.name)} {self.limit:g})"
        value, low, high = (amount(self.name, each) for each in (self.found.value, self.found.low, self.found.high))
        between = "" if low == high else f" [{low} to {high}]"
        if math.isinf(self.found.high):
            between = " (one round has no interval)"
        return f"{noun} {value}{between}, where {option(self.name)} allows {self.limit:g}"


def checks(row: Row, results: Results, limits: Constraints) -> Iterator[Check]:
    """Each limit that was asked for, beside the row's value."""
    values = {"max_drop": _drop, "max_rss": _peak, "p95": _tail}
    for name, limit in limits.given().items():
        yield Check(name, limit, values[name](row, results))


def amount(name: str, value: float) -> str:
    """A limit's value with its unit."""
    return {"max_drop": f"{value:.2f} points", "max_rss": f"{value:.0f} MB", "p95": f"{value:.2f} ms"}[name]


def round_up(name: str, value: float) -> float:
    """To hundredths of a point and of a millisecond, and to whole MB; a little over is rounding, not a value."""
    if math.isinf(value):
        return value
    step = {"max_drop": 100, "max_rss": 1, "p95": 100}[name]
    return math.ceil(round(value * step, 6)) / step


def _drop(row: Row, results: Results) -> Estimate | None:
    """The value only: the same images give the same accuracy in every run, whatever other images would give."""
    found = drop(row, reference(row, results))
    return found and Estimate(*[round(found.value, 6)] * 3)


def _peak(row: Row, results: Results) -> Estimate | None:
    """The interval is what was seen."""
    peaks = [peak for peak in row.peak_rss_mb if peak]
    return Estimate(float(np.median(peaks)), min(peaks), max(peaks)) if peaks else None


def _tail(row: Row, results: Results) -> Estimate | None:
    if not row.rounds:
        return None
    found = tail(row.rounds)
    return Estimate(found.value, 0.0, math.inf) if math.isnan(found.low) else found
