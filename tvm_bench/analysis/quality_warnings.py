"""Why one might not believe the numbers."""

from __future__ import annotations

import numpy as np

from .results import Results, Row
from .statistics import median, round_medians

MAX_SPREAD = 0.10
MAX_BUSY = 0.10  # of all cores, by other programs or, on a virtual machine, by its neighbours
MIN_ROUNDS = 5  # with fewer, the interval of a median is too narrow, and that of a ratio useless
MIN_SAMPLES = 200


def doubts(results: Results) -> list[str]:
    """Reasons not to believe the numbers, one sentence each; empty where there are none."""
    rows = [row for row in results.variants if row.rounds]
    found = [
        _loaded(results.machine),
        _disturbed(rows),
        _still_disturbed(rows),
        _spread(rows),
        _few_rounds(rows),
        _few_samples(rows),
    ]
    return [doubt for doubt in found if doubt]


def _loaded(machine: dict) -> str | None:
    busy = machine.get("busy_share")
    if busy is None or busy <= MAX_BUSY:
        return None
    return (
        f"The machine was busy with other work at the start: {busy:.0%} of its cores. Stop what else runs, and repeat."
    )


def _disturbed(rows: list[Row]) -> str | None:
    again = [f"{row.name} ({row.disturbed})" for row in rows if row.disturbed]
    return again and f"Rounds that something else disturbed, and that were repeated: {', '.join(again)}."


def _still_disturbed(rows: list[Row]) -> str | None:
    """A round that was disturbed each time counts none the less."""
    kept = {row.name: [watch["disturbance"] for watch in row.watch if watch.get("disturbance")] for row in rows}
    found = [f"{name} ({len(whys)}: {whys[0]})" for name, whys in kept.items() if whys]
    return found and f"Rounds that were disturbed however often they were repeated, and count: {', '.join(found)}."


def _spread(rows: list[Row]) -> str | None:
    spreads = {row.name: np.ptp(round_medians(row.rounds)) / median(row.rounds).value for row in rows}
    wide = [f"{name} ({spread:.0%})" for name, spread in spreads.items() if spread > MAX_SPREAD]
    return wide and f"Round medians lie more than {MAX_SPREAD:.0%} apart: {', '.join(wide)}."


def _few_rounds(rows: list[Row]) -> str | None:
    few = min((len(row.rounds) for row in rows), default=MIN_ROUNDS)
    if few >= MIN_ROUNDS:
        return None
    return f"Only {few} round{'s' * (few != 1)}: with fewer than {MIN_ROUNDS} a median's interval is too narrow."


def _few_samples(rows: list[Row]) -> str | None:
    few = [f"{row.name} ({count})" for row in rows if (count := sum(map(len, row.rounds))) < MIN_SAMPLES]
    return few and f"Fewer than {MIN_SAMPLES} samples, too few for a tail such as p95: {', '.join(few)}."
