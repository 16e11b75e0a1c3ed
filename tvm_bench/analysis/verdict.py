"""Who wins a race under its limits, and who cannot be told from the winner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..spec.constraints import Constraints
from .constraint_checks import Check, checks, requested
from .results import Results, Row
from .statistics import DECISION, Estimate, ratio, round_medians


@dataclass(frozen=True)
class Verdict:
    """`first` is the fastest that keeps to the limits (None: nobody does), `second` the next of those.

    `level` cannot be told from `first`. `unclear` may or may not keep to the limits, and would not be clearly slower.
    `barred` is clearly faster, and breaks a limit. `ratios` has the latency of every row over that of `first`.
    """

    limits: Constraints
    first: Row | None
    second: Row | None
    level: tuple[Row, ...]
    unclear: tuple[Row, ...]
    barred: tuple[Row, ...]
    ratios: dict[str, Estimate]
    checks: dict[str, tuple[Check, ...]]

    @property
    def winner(self) -> Row | None:
        """The one variant that everything else was told from; None for a tie and for an open race."""
        return None if self.level or self.unclear else self.first


def judge(race: Results) -> Verdict:
    """The verdict on rows of the same terms (see `groups.races`), under the limits of the race's settings.

    A winner is named only if each other variant is slower by an interval of `statistics.DECISION`. Since all these
    statements must hold at once, naming one needs no correction for their number (Berger 1982).
    """
    limits = requested(race)
    rows = sorted(competitors(race), key=lambda row: np.log(round_medians(row.rounds)).mean())
    found = {row.name: tuple(checks(row, race, limits)) for row in rows}
    inside = [row for row in rows if all(check.met for check in found[row.name])]
    outside = [row for row in rows if any(check.met is False for check in found[row.name])]
    between = [row for row in rows if row not in inside and row not in outside]
    first, second = (*inside, None, None)[:2]
    ratios = {row.name: ratio(row.rounds, first.rounds, DECISION) for row in rows} if first else {}

    def directed(candidates: Iterable[Row], *directions: int) -> tuple[Row, ...]:
        return tuple(row for row in candidates if first is None or ratios[row.name].direction in directions)

    return Verdict(
        limits,
        first,
        second,
        level=directed(inside[1:], 0, -1),
        unclear=directed(between, 0, -1),
        barred=directed(outside, -1),
        ratios=ratios,
        checks=found,
    )


def competitors(race: Results) -> list[Row]:
    """The rows that can win: timed, not flagged, and not the null backend, which computes nothing."""
    return [row for row in race.variants if row.rounds and not row.flagged and row.backend != "null"]
