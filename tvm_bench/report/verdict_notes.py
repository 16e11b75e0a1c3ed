"""The notes on a verdict: ties, the accuracy of the winner, and which constraints would change the answer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..analysis import pareto
from ..analysis.accuracy import drop, pair
from ..analysis.comparable import reference
from ..analysis.constraint_checks import Check, amount
from ..analysis.results import Row
from ..analysis.statistics import DECISION, MOST_ROUNDS, RELEVANT, mean_latency
from ..analysis.verdict import Verdict
from ..spec.constraints import option
from . import formatting, tables


def notes(verdict: Verdict) -> list[str]:
    """Sentences about ties, the accuracy of the winner, unclear variants, and what would change the answer."""
    return [*_ties(verdict), *_cost(verdict), *_unclear(verdict), *_changes(verdict)]


def describe(row: Row) -> str:
    """`4.820 ms, 93.9 % Top-1, peak 237 MB, file 12.3 MB`, without unknown values."""
    parts = [f"{formatting.ms(mean_latency(row.rounds).value)} ms"]
    if row.top1 is not None:
        parts.append(f"{formatting.percent(row.top1)} Top-1")
    if row.peak_rss_mb:
        parts.append(f"peak {formatting.mb(float(np.median(row.peak_rss_mb)))} MB")
    if row.size_mb:
        parts.append(f"file {formatting.mb(row.size_mb)} MB")
    return ", ".join(parts)


def listed(parts: list[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _ties(verdict: Verdict) -> Iterator[str]:
    if not verdict.first or not verdict.level:
        return
    for row in verdict.level:
        ratio = formatting.times(verdict.ratios[row.name])
        yield f"{row.name} takes {ratio} the time of {verdict.first.name}: {_how_to_tell(row, verdict)}."
    tied = [verdict.first, *verdict.level]
    for quality in pareto.BETTER:
        for row in tied:
            if quality in pareto.best_in(row, tied):
                yield f"Of these, {row.name} is the best in {quality}: {describe(row)}."


def _how_to_tell(row: Row, verdict: Verdict) -> str:
    if len(row.rounds) < 2:
        return "a decision needs at least two rounds"
    if count := verdict.rounds_needed(row):
        return f"if this is their real difference, about {max(count, len(row.rounds) + 1)} rounds would show it"
    if abs(math.log(verdict.ratios[row.name].value)) <= math.log1p(RELEVANT):
        return f"they seem to differ by less than {RELEVANT:.0%}, which no number of rounds makes a win"
    return f"more than {MOST_ROUNDS} rounds would be needed to show a difference"


def _cost(verdict: Verdict) -> Iterator[str]:
    """The accuracy of the winner. Of variants that tie, the tables have it."""
    row = None if verdict.level else verdict.first
    base = reference(row, verdict.race) if row else None
    if not row or row is base or (lost := drop(row, base)) is None or base is None:
        return
    gained = formatting.points(-lost.value / 100)
    line = f"Top-1 of {row.name}: {tables.top1(row)}, {gained} percentage points from {base.name}"
    if both := pair(row, base):
        interval = f"[{formatting.points(-lost.high / 100)}, {formatting.points(-lost.low / 100)}]"
        line += f" {interval} on the same images ({_differ(both.p)})"
    yield f"{line}."


def _differ(p: float) -> str:
    return f"McNemar's mid-p {p:.2g}: " + ("a real difference" if p < 1 - DECISION else "no difference shown")


def _unclear(verdict: Verdict) -> Iterator[str]:
    for row in verdict.unclear:
        unsure = "; ".join(str(check) for check in verdict.checks[row.name] if check.met is None)
        yield f"{row.name} may or may not meet the constraints: {unsure}. More rounds or another constraint decide."


def _changes(verdict: Verdict) -> Iterator[str]:
    if not verdict.constraints.given():
        return
    if verdict.first:
        checks = verdict.checks[verdict.first.name]
        tightest = " ".join(f"{option(check.name)} {max(0.0, check.needed):g}" for check in checks)
        yield f"{verdict.first.name} also meets {tightest}."
        if not verdict.barred:
            yield "Looser constraints change nothing: no variant that breaks one is clearly faster."
    for row in verdict.nearest():
        broken = [check for check in verdict.checks[row.name] if not check.met]
        if unknown := [check for check in broken if math.isinf(check.needed)]:
            yield f"{row.name} is out: {'; '.join(map(str, unknown))}."
            continue
        faster = f", which takes {formatting.times(verdict.ratios[row.name])} the time" if verdict.first else ""
        yield f"With {listed([_more(check) for check in broken])}: {row.name}{faster}."


def _more(check: Check) -> str:
    noun = {"max_drop": " of drop", "max_rss": "", "max_p95": ""}[check.name]
    return f"{amount(check.name, check.needed - check.limit)}{noun} more ({option(check.name)} {check.needed:g})"
