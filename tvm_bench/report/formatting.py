"""Numbers as text: all tables, plots and sentences use these functions."""

from __future__ import annotations

import math
from typing import Protocol

NONE = "–"


class Ranged(Protocol):
    """A value and the ends of its interval, which are NaN if unknown."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def ms(value: float | None, digits: int = 4) -> str:
    """Milliseconds with `digits` significant digits, without the unit: `0.0123`, `12.34`, `1234`."""
    return NONE if value is None else f"{value:.{_decimals(value, digits)}f}"


def ms_interval(estimate: Ranged) -> str:
    """`12.34 [12.20, 12.51]`."""
    return _with_interval(estimate, _decimals(estimate.value), 1, "")


def interval(estimate: Ranged, decimals: int) -> str:
    """A value with its interval, without a unit: `0.10 [−0.21, 0.42]`."""
    return _with_interval(estimate, decimals, 1, "").replace("-", "−")


def mb(value: float | None) -> str:
    """Megabytes without the unit: `612`, `46.8`."""
    return NONE if value is None else f"{value:.{0 if value >= 100 else 1}f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share as `69.8 %`. It is never rounded up to 100 %: that would hide the exceptions."""
    if share is None:
        return NONE
    rounded = round(share * 100, decimals)
    if share < 1 and rounded == 100:
        rounded -= 10**-decimals
    return f"{rounded:.{decimals}f} %"


def percent_interval(estimate: Ranged) -> str:
    """`69.8 % [68.9, 70.6]`."""
    return _with_interval(estimate, 1, 100, " %")


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign: `−0.42`."""
    return f"{round(difference * 100, 2) + 0.0:+.2f}".replace("-", "−")


def times(estimate: Ranged) -> str:
    """A ratio: `2.31× [2.28, 2.35]`; close to 1 with three decimals: `1.004× [1.001, 1.006]`."""
    return _with_interval(estimate, 3 if abs(estimate.value - 1) < 0.1 else 2, 1, "×")


def _with_interval(estimate: Ranged, decimals: int, scale: float, unit: str) -> str:
    value, low, high = (f"{number * scale:.{decimals}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} [{NONE}]" if math.isnan(estimate.low) else f"{value}{unit} [{low}, {high}]"


def _decimals(value: float, digits: int = 4) -> int:
    return max(0, min(4, digits - 1 - math.floor(math.log10(abs(value))))) if value else 1
