"""The rounds of a race: every variant once in each, in random order, each in a fresh process."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..analysis.validity import ValidityLimits, disturbance, most_repeats, overuse, stale_answers
from ..host.progress import Progress
from . import measurement
from .race_entrants import Entrant, attempt

# Fields of a row that get one value per round, besides the samples.
PER_ROUND = (
    *("load_ms", "first_call_ms", "rss_after_import_mb", "rss_after_load_mb", "peak_rss_mb", "pss_peak_mb"),
    *("huge_pages_mb", "live_threads", "working_threads", "cpu_per_wall", "watch"),
)


@dataclass(frozen=True)
class Rules:
    """The settings that all variants of a race share."""

    rounds: int = 5
    samples: int = 40
    warmup: int = 10
    images: int | None = None
    seed: int | None = None  # of the random order in each round; None: a new one
    # Timeouts in seconds: for answering all images, and for one round of one variant.
    answer_seconds: float = 1800.0
    round_seconds: float = 300.0
    validity: ValidityLimits = ValidityLimits()


def run_round(entrants: list[Entrant], rules: Rules, seed: int, number: int, progress: Progress) -> list[Entrant]:
    """The entrants after round `number` (from 0). Its order depends on `seed` and `number` only."""
    timed = [i for i, entrant in enumerate(entrants) if entrant.timed]
    after = list(entrants)
    # In random order, so that a drift of the machine affects all variants alike.
    for i in random.Random(f"{seed}/{number}").sample(timed, len(timed)):
        progress.step(f"round {number + 1}/{rules.rounds}: {entrants[i].variant.name}")
        step = partial(_with_round, rules=rules, spare=repeats_left(after, rules))
        after[i] = attempt(after[i], step)
    return after


def repeats_left(entrants: Iterable[Entrant], rules: Rules) -> int:
    """How many disturbed rounds may still be repeated: a share of all rounds, minus the repeats so far."""
    entrants = list(entrants)
    allowed = most_repeats(rules.rounds * sum(entrant.races for entrant in entrants), rules.validity)
    return max(0, allowed - sum(entrant.row.disturbed for entrant in entrants))


def _with_round(entrant: Entrant, rules: Rules, spare: int) -> Entrant:
    """The entrant after one more round. A disturbed round is repeated as often as the rules and `spare` allow."""
    row = entrant.row
    measured = [_measured(entrant, rules)]
    while measured[-1]["watch"]["disturbance"] and len(measured) <= min(rules.validity.repeats, spare):
        measured.append(_measured(entrant, rules))
    counted = measured[-1]
    evaluator = counted["time_evaluator_ms"]
    values: dict[str, Any] = {name: counted[name] for name in PER_ROUND if counted[name] is not None}
    added: dict[str, Any] = {name: [*getattr(row, name), value] for name, value in values.items()}
    row = replace(
        row,
        latency_ms={"rounds": [*(row.latency_ms or {"rounds": []})["rounds"], counted["latency_ms"]]},
        time_evaluator_ms=[*(row.time_evaluator_ms or []), evaluator] if evaluator else None,
        disturbed=row.disturbed + len(measured) - 1,
        flagged=row.flagged or _violation(entrant, measured, rules),
        **added,
    )
    return replace(entrant, row=row)


def _violation(entrant: Entrant, measured: list[dict[str, Any]], rules: Rules) -> str | None:
    """Why the variant is flagged, from all measurements: a disturbed round explains a slow call, not a wrong answer."""
    for result in measured:
        if reason := overuse(result, entrant.variant.threads, rules.validity) or stale_answers(result):
            return reason
    return None


def _measured(entrant: Entrant, rules: Rules) -> dict[str, Any]:
    result = measurement.measure(
        entrant.bench,
        entrant.variant,
        entrant.artifact,
        warmup=rules.warmup,
        samples=rules.samples,
        seconds=rules.round_seconds,
    )
    disturbed = disturbance(result["watch"], entrant.variant.threads, rules.validity)
    return {**result, "watch": {**result["watch"], "disturbance": disturbed}}
