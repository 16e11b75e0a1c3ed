"""The Pareto front of latency, accuracy, memory and size: the variants that no other variant dominates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .accuracy import pair, wilson
from .results import Results, Row
from .statistics import DECISION, RELEVANT, ratio
from .verdict import competitors


def front(race: Results) -> list[Row]:
    """The rows on the front, in the order of `race`.

    "No clear difference" is not transitive. So only a row on the front removes another row: the front is the kernel
    of the relation `dominates`.
    """
    remaining, result = competitors(race), []
    while remaining:
        best = [row for row in remaining if not any(dominates(other, row) for other in remaining)] or remaining
        result += best
        remaining = [row for row in remaining if row not in best and not any(dominates(other, row) for other in best)]
    return [row for row in race.variants if row in result]


def best_in(row: Row, rows: Iterable[Row]) -> list[str]:
    """The dimensions in which `row` is clearly better than all other `rows`; empty without others."""
    others = [other for other in rows if other is not row]
    return [name for name, better in BETTER.items() if others and all(better(row, other) > 0 for other in others)]


def dominates(one: Row, other: Row) -> bool:
    """Whether `one` is clearly better in some dimension, and clearly worse in none."""
    signs = [better(one, other) for better in BETTER.values()]
    return max(signs) > 0 and min(signs) >= 0


def _faster(one: Row, other: Row) -> int:
    return ratio(other.rounds, one.rounds, DECISION).direction


def _more_accurate(one: Row, other: Row) -> int:
    if one.top1 is None or other.top1 is None or not one.images or not other.images:
        return 0
    if both := pair(one, other):
        return int(np.sign(both.difference.value)) if both.differ else 0
    first, second = wilson(one.top1, one.images), wilson(other.top1, other.images)
    return int(first.low > second.high) - int(first.high < second.low)


def _less_memory(one: Row, other: Row) -> int:
    first, second = ([peak for peak in row.peak_rss_mb if peak] for row in (one, other))
    if not first or not second:
        return 0
    return _smaller(max(first), min(second)) - _smaller(max(second), min(first))


def _smaller_file(one: Row, other: Row) -> int:
    if not one.size_mb or not other.size_mb:
        return 0
    return _smaller(one.size_mb, other.size_mb) - _smaller(other.size_mb, one.size_mb)


def _smaller(value: float, other: float) -> int:
    return int(value * (1 + RELEVANT) < other)


# For each dimension: 1 if the first is clearly better than the second, -1 if it is clearly worse, else 0.
BETTER = {
    "latency": _faster,
    "accuracy": _more_accurate,
    "memory": _less_memory,
    "size": _smaller_file,
}
