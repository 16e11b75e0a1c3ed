"""The Pareto front of latency, accuracy, memory and size: the variants that nothing else dominates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .accuracy import pair, wilson
from .results import Results, Row
from .statistics import DECISION, RELEVANT, ratio
from .verdict import competitors


def front(race: Results) -> list[Row]:
    """The rows of `race` that nothing on the front dominates, in its order.

    "No clear difference" is not transitive. So a row falls only to one that stays, and never to one that falls itself:
    the kernel of the relation.
    """
    left, stay = competitors(race), []
    while left:
        best = [row for row in left if not any(dominates(other, row) for other in left)] or left
        stay += best
        left = [row for row in left if row not in best and not any(dominates(other, row) for other in best)]
    return [row for row in race.variants if row in stay]


def best_in(row: Row, rows: Iterable[Row]) -> list[str]:
    """In what `row` is clearly better than each other one of `rows`; empty where there is no other."""
    others = [other for other in rows if other is not row]
    return [name for name, better in BETTER.items() if others and all(better(row, other) > 0 for other in others)]


def dominates(one: Row, other: Row) -> bool:
    """Whether `one` is clearly better in something, and clearly worse in nothing."""
    found = [better(one, other) for better in BETTER.values()]
    return max(found) > 0 and min(found) >= 0


def _faster(one: Row, other: Row) -> int:
    return ratio(other.rounds, one.rounds, DECISION).direction


def _more_accurate(one: Row, other: Row) -> int:
    if one.top1 is None or other.top1 is None or not one.images or not other.images:
        return 0
    if found := pair(one, other):
        return int(np.sign(found.difference.value)) if found.differ else 0
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


# For each dimension: 1 where the first is clearly better than the second, -1 where it is clearly worse, else 0.
BETTER = {
    "latency": _faster,
    "accuracy": _more_accurate,
    "memory": _less_memory,
    "size": _smaller_file,
}
