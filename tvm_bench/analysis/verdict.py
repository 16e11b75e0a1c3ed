"""The winner of a race under its constraints, and the variants that cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from ..spec.constraints import Constraints
from .comparable import races
from .constraint_checks import Check, checks, requested
from .results import Results, Row
from .statistics import DECISION, Estimate, mean_latency, ratio, rounds_to_tell


class Outcome(Enum):
    """How a race ends."""

    NO_COMPETITOR = auto()  # nothing was timed that can win
    NO_CONSTRAINT_MET = auto()  # every competitor breaks a constraint
    OPEN = auto()  # a variant is too close to a constraint to decide
    ALONE = auto()  # only one competitor meets the constraints
    ONE_ROUND = auto()  # no interval, so no decision
    TIE = auto()
    WINNER = auto()


@dataclass(frozen=True)
class Verdict:
    """`first` is the fastest competitor that meets the constraints (None: there is none), `second` the next one.

    `level` are not clearly slower than `first`. `unclear` may or may not meet the constraints, and are not clearly
    slower. `barred` are clearly faster, and break a constraint. `ratios` are latencies relative to that of `first`.
    """

    race: Results
    constraints: Constraints
    first: Row | None
    second: Row | None
    level: tuple[Row, ...]
    unclear: tuple[Row, ...]
    barred: tuple[Row, ...]
    ratios: dict[str, Estimate]
    checks: dict[str, tuple[Check, ...]]

    @property
    def winner(self) -> Row | None:
        """The variant that all others are clearly slower than; None for a tie and for an open race."""
        return None if self.level or self.unclear else self.first

    @property
    def outcome(self) -> Outcome:
        """How the race ends."""
        if not self.checks:
            return Outcome.NO_COMPETITOR
        if self.unclear:
            return Outcome.OPEN
        if self.first is None:
            return Outcome.NO_CONSTRAINT_MET
        if self.second is None:
            return Outcome.ALONE
        if math.isnan(self.ratios[self.second.name].low):
            return Outcome.ONE_ROUND
        return Outcome.TIE if self.level else Outcome.WINNER

    def rounds_needed(self, row: Row) -> int | None:
        """The number of rounds that tell `row` from `first`, if the ratio so far is true; None if no number does."""
        return rounds_to_tell(row.rounds, self.first.rounds) if self.first else None

    def nearest(self) -> Iterator[Row]:
        """The barred rows, fastest first; each relaxes some constraint by less than all faster ones."""
        least: dict[str, float] = {}
        for row in self.barred:
            needed = {check.name: max(check.needed, check.limit) for check in self.checks[row.name]}
            unknown = any(math.isinf(check.needed) for check in self.checks[row.name])
            if unknown or any(value < least.get(name, math.inf) for name, value in needed.items()):
                least = {name: min(value, least.get(name, math.inf)) for name, value in needed.items()}
                yield row


def verdicts(results: Results) -> list[Verdict]:
    """The verdict on every race of a sweep; the report is about the first."""
    return [judge(race) for race in races(results)]


def judge(race: Results) -> Verdict:
    """The verdict on rows of one batch size and thread count (see `comparable.races`), under the race's constraints.

    A winner is named only if each other variant is slower by an interval of `statistics.DECISION`. Since all these
    statements must hold at once, naming one needs no correction for their number (Berger 1982).
    """
    constraints = requested(race)
    rows = sorted(competitors(race), key=lambda row: mean_latency(row.rounds).value)
    results = {row.name: tuple(checks(row, race, constraints)) for row in rows}
    inside = [row for row in rows if all(check.met for check in results[row.name])]
    outside = [row for row in rows if any(check.met is False for check in results[row.name])]
    between = [row for row in rows if row not in inside and row not in outside]
    first, second = (*inside, None, None)[:2]
    ratios = {row.name: ratio(row.rounds, first.rounds, DECISION) for row in rows} if first else {}

    def directed(candidates: Iterable[Row], *directions: int) -> tuple[Row, ...]:
        return tuple(row for row in candidates if first is None or ratios[row.name].direction in directions)

    return Verdict(
        race,
        constraints,
        first,
        second,
        level=directed(inside[1:], 0, -1),
        unclear=directed(between, 0, -1),
        barred=directed(outside, -1),
        ratios=ratios,
        checks=results,
    )


def competitors(race: Results) -> list[Row]:
    """The rows that can win: timed, not flagged, and not the null backend, which computes nothing."""
    return [row for row in race.variants if row.rounds and not row.flagged and row.backend != "null"]
