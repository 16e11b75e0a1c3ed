"""What the numbers allow to be said: who is first, and why one might not believe it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..results import Results, Row
from .statistics import Estimate, by_latency, median, ratio, round_medians
from .units import times

MAX_SPREAD = 0.10
MAX_BUSY = 0.10  # of all cores, by other programs or, on a virtual machine, by its neighbours
MIN_ROUNDS = 5  # with fewer, no resampling gives an interval that holds 95 % of the time
MIN_SAMPLES = 200
MAX_CPU_SHARE = 1.1


@dataclass(frozen=True)
class Fastest:
    """The fastest variant first, then all that share the lead. `ratio` is the second's latency over the first's."""

    names: tuple[str, ...]
    second: str | None
    ratio: Estimate | None

    @property
    def tie(self) -> bool:
        """Whether the measurement cannot tell who is first."""
        return len(self.names) > 1


def fastest(results: Results) -> Fastest | None:
    """Who is first: one variant only if every other one is slower by an interval that excludes 1, else the tie.

    None where nothing was timed. The null backend, which computes nothing, does not compete.
    """
    rows = [row for row in by_latency(results) if row.backend != "null"]
    if not rows:
        return None
    first, *others = rows
    ratios = {row.name: ratio(row.rounds, first.rounds) for row in others}
    level = tuple(name for name, estimate in ratios.items() if not estimate.excludes(1))
    second = others[0].name if others else None
    return Fastest((first.name, *level), second, ratios[second] if second else None)


def finding(results: Results) -> str:
    """Who is fastest, in a sentence without its full stop."""
    first = fastest(results)
    if first is None:
        return "Nothing was timed"
    if first.ratio and np.isnan(first.ratio.low):
        return "One round has no interval: nobody is named the fastest"
    if first.tie:
        return f"Tie for the fastest: {_enumerate(first.names)}"
    if first.ratio is None:
        return f"{first.names[0]} is the only variant that was timed"
    return f"{first.names[0]} is the fastest: {first.second} takes {times(first.ratio)} its time"


def doubts(results: Results) -> list[str]:
    """Reasons not to believe the numbers, one sentence each; empty where there are none."""
    rows = [row for row in results.variants if row.rounds]
    found = [_loaded(results.machine), _spread(rows), _few_rounds(rows), _few_samples(rows), _greedy(rows, results)]
    return [doubt for doubt in found if doubt]


def _loaded(machine: dict) -> str | None:
    busy = machine.get("busy_share")
    if busy is None or busy <= MAX_BUSY:
        return None
    return (
        f"The machine was busy with other work at the start: {busy:.0%} of its cores. Stop what else runs, and repeat."
    )


def _spread(rows: list[Row]) -> str | None:
    spreads = {row.name: np.ptp(round_medians(row.rounds)) / median(row.rounds).value for row in rows}
    wide = [f"{name} ({spread:.0%})" for name, spread in spreads.items() if spread > MAX_SPREAD]
    return wide and f"Round medians lie more than {MAX_SPREAD:.0%} apart: {', '.join(wide)}."


def _few_rounds(rows: list[Row]) -> str | None:
    few = min((len(row.rounds) for row in rows), default=MIN_ROUNDS)
    if few >= MIN_ROUNDS:
        return None
    return f"Only {few} round{'s' * (few != 1)}: with fewer than {MIN_ROUNDS} the intervals are too narrow."


def _few_samples(rows: list[Row]) -> str | None:
    few = [f"{row.name} ({count})" for row in rows if (count := sum(map(len, row.rounds))) < MIN_SAMPLES]
    return few and f"Fewer than {MIN_SAMPLES} samples, too few for a tail such as p95: {', '.join(few)}."


def _greedy(rows: list[Row], results: Results) -> str | None:
    threads = results.settings.get("threads")
    if not threads:
        return None
    used = {row.name: max(row.cpu_per_wall) for row in rows if row.cpu_per_wall}
    greedy = [f"{name} ({seconds:.2f})" for name, seconds in used.items() if seconds > threads * MAX_CPU_SHARE]
    return greedy and f"More CPU seconds a second than {threads} threads can use: {', '.join(greedy)}."


def _enumerate(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
