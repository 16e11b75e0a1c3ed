"""The verdict in sentences: the same for the terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..analysis import pareto
from ..analysis.accuracy import drop, pair
from ..analysis.comparable import batch_and_threads, races, reference
from ..analysis.constraint_checks import Check, amount, asked
from ..analysis.quality_warnings import MIN_ROUNDS
from ..analysis.results import Results, Row
from ..analysis.statistics import DECISION, MOST_ROUNDS, RELEVANT, median, rounds_to_tell
from ..analysis.verdict import Verdict, judge
from ..spec.constraints import option
from . import formatting, tables

if TYPE_CHECKING:
    from rich.console import Console

FRONT = "Pareto front: nothing else is clearly better in latency, accuracy, memory or size, and worse in none of them."
SWEEPS = "On the other terms of the sweep:"
INCLUDES = (
    "median, p95 and what is derived from them: the wall clock around one call, NumPy array in to NumPy array out, "
    "with the copies that each backend needs for that, after warm-up.",
    "time_evaluator: TVM's own clock. Kernels only, hot cache, no copy of the input. It is not to be compared with "
    "the wall clock of another backend.",
    "load: from the file to a model that can be called, without the imports of its library. Eager PyTorch builds the "
    "network and loads a state dict; in INT8, FX quantization prepares and converts the network again before that. "
    "first call: the first one after loading, before warm-up.",
    "peak MB: the highest resident memory of the process (VmHWM); in brackets, what it was after the imports.",
    "Each round ran every variant once, in random order, each in a fresh process. Medians are those of the rounds' "
    "medians, with a bootstrap interval over the rounds. Ratios are geometric means over the rounds, paired by round, "
    "with Student's t interval of their logarithms. Accuracies have Wilson's interval, their differences on the same "
    "images that of Bonett and Price. All are 95 % intervals, but for those that decide.",
    f"Who is faster is decided by a {DECISION:.0%} interval that lies beyond a difference of {RELEVANT:.0%}; anything "
    "less is a tie.",
)


def headline(race: Results) -> str:
    """Who is to be deployed, or that nobody can be named, in a sentence without its full stop."""
    found = judge(race)
    within = f" within {found.limits}" if found.limits.given() else ""
    if not found.checks:
        return "Nothing was timed that may win"
    if found.first is None:
        if found.unclear:
            return f"Open: {_names(found.unclear)} cannot be told from the limits {found.limits}"
        return f"No variant keeps to {found.limits}"
    name = found.first.name
    if found.unclear:
        return f"Open{within}: {_names((found.first, *found.unclear))}, too close to a limit to say"
    if found.second is None:
        return f"Deploy {name}: nothing else keeps to {found.limits}" if within else f"{name} is alone in the race"
    if math.isnan(found.ratios[found.second.name].low):
        return "One round has no interval: nobody is named the fastest"
    if found.level:
        return f"Tie for the fastest{within}: {_names((found.first, *found.level))}"
    lead = f"{found.second.name} takes {formatting.times(found.ratios[found.second.name])} its time"
    return f"Deploy {name}: the fastest{within}, {lead}" if within else f"{name} is the fastest: {lead}"


def notes(race: Results) -> list[str]:
    """What the headline costs, how sure it is, and what would change it: whole sentences."""
    found = judge(race)
    few = min((len(row.rounds) for row in race.variants if row.rounds), default=MIN_ROUNDS) < MIN_ROUNDS
    first = [f"Fewer than {MIN_ROUNDS} rounds: a first impression only."] if few else []
    return [*first, *_ties(found), *_costs(found, race), *_closeness(found), *_changes(found)]


def sections(results: Results) -> list[tuple[str, list[str]]]:
    """What follows the headline: titles (the first has none) and lines; those that are empty are left out."""
    race = races(results)[0]
    every = [
        ("", notes(race)),
        (FRONT, front(race)),
        (SWEEPS, sweeps(results)),
        ("Broke the terms:", flagged(results)),
        ("Failed or skipped:", tables.failures(results)),
    ]
    return [(title, lines) for title, lines in every if lines]


def show(results: Results, console: Console) -> None:
    """Print the verdict; without limits the Pareto front too."""
    from rich.text import Text

    race = races(results)[0]
    console.print(Text(f"{headline(race)}.", style="bold"))
    for title, lines in sections(results):
        if title == FRONT and asked(race).given():
            continue
        for line in (title, *(f"  {line}" for line in lines)) if title else lines:
            console.print(Text(line), soft_wrap=title == "Failed or skipped:")


def front(race: Results) -> list[str]:
    """The Pareto front, a line each: what is known of the variant, and in what nothing on the front is better."""
    rows = sorted(pareto.front(race), key=lambda row: median(row.rounds).value)
    lines = []
    for row in rows:
        others = [other for other in rows if other is not row]
        best = [name for name, better in pareto.BETTER.items() if others and all(better(row, o) > 0 for o in others)]
        lines.append(f"{row.name}: {describe(row)}" + (f" (best in {_listed(best)})" if best else ""))
    return lines


def sweeps(results: Results) -> list[str]:
    """The verdict on every other batch size and number of threads, a line each; empty without a sweep."""
    others = races(results)[1:]
    lines = []
    for race in others:
        batch, threads = batch_and_threads(race.variants[0], race)
        lines.append(f"Batch {batch}, {threads} thread{'s' * (threads != 1)}: {headline(race)}.")
    return lines


def _ties(found: Verdict) -> Iterator[str]:
    for row in found.level:
        assert found.first is not None
        estimate = found.ratios[row.name]
        ratio = formatting.times(estimate)
        yield f"{row.name} takes {ratio} the time of {found.first.name}: {_patience(row, found.first)}."
    if found.level and found.first:
        tied = (found.first, *found.level)
        for quality, better in pareto.BETTER.items():
            for row in tied:
                if all(better(row, other) > 0 for other in tied if other is not row):
                    yield f"Of these, {row.name} is the best in {quality}: {describe(row)}."


def _patience(row: Row, first: Row) -> str:
    if len(row.rounds) < 2:
        return "two rounds are the least that can tell"
    count = rounds_to_tell(row.rounds, first.rounds)
    if count:
        return f"if they differ as they seem to, about {max(count, len(row.rounds) + 1)} rounds would tell them apart"
    apart = abs(np.log([np.median(a) / np.median(b) for a, b in zip(row.rounds, first.rounds, strict=True)]).mean())
    if apart <= math.log1p(RELEVANT):
        return f"they seem to differ by less than {RELEVANT:.0%}, which no number of rounds makes a win"
    return f"more than {MOST_ROUNDS} rounds would be needed to tell them apart"


def _costs(found: Verdict, race: Results) -> Iterator[str]:
    for row in (found.first, *found.level):
        base = reference(row, race) if row else None
        if not row or row is base or (lost := drop(row, base)) is None or base is None:
            continue
        gained = formatting.points(-lost.value / 100)
        line = f"Top-1 of {row.name}: {tables.top1(row)}, {gained} percentage points from {base.name}"
        if both := pair(row, base):
            interval = f"[{formatting.points(-lost.high / 100)}, {formatting.points(-lost.low / 100)}]"
            line += f" {interval} on the same images ({_differ(both.p)})"
        yield f"{line}."


def _differ(p: float) -> str:
    return f"McNemar's mid-p {p:.2g}: " + ("a real difference" if p < 1 - DECISION else "no difference shown")


def _closeness(found: Verdict) -> Iterator[str]:
    for row in found.unclear:
        unsure = "; ".join(str(check) for check in found.checks[row.name] if check.kept is None)
        yield f"{row.name} may or may not keep to the limits: {unsure}. More rounds, or another limit, decide."


def _changes(found: Verdict) -> Iterator[str]:
    if not found.limits.given():
        return
    if found.first:
        tightest = " ".join(f"{option(c.name)} {max(0.0, c.needed):g}" for c in found.checks[found.first.name])
        yield f"{found.first.name} keeps to limits as tight as {tightest}."
        if not found.barred:
            yield "Looser limits change nothing: no variant that breaks one is clearly faster."
    for row in _nearest(found):
        broken = [check for check in found.checks[row.name] if not check.kept]
        if unsure := [check for check in broken if math.isinf(check.needed)]:
            yield f"{row.name} is out: {'; '.join(map(str, unsure))}."
            continue
        faster = f", which takes {formatting.times(found.ratios[row.name])} the time" if found.first else ""
        yield f"With {_listed([_more(check) for check in broken])}: {row.name}{faster}."


def _nearest(found: Verdict) -> Iterator[Row]:
    """Of the barred rows, fastest first, each that needs less of some limit than all faster ones."""
    least: dict[str, float] = {}
    for row in found.barred:
        needed = {check.name: max(check.needed, check.limit) for check in found.checks[row.name]}
        unknown = any(math.isinf(check.needed) for check in found.checks[row.name])
        if unknown or any(value < least.get(name, math.inf) for name, value in needed.items()):
            least = {name: min(value, least.get(name, math.inf)) for name, value in needed.items()}
            yield row


def _more(check: Check) -> str:
    noun = {"max_drop": " of drop", "max_rss": "", "p95": ""}[check.name]
    return f"{amount(check.name, check.needed - check.limit)}{noun} more ({option(check.name)} {check.needed:g})"


def flagged(results: Results) -> list[str]:
    """Who broke the terms, a sentence each."""
    return [f"{row.name} cannot win: {row.flagged}." for row in results.variants if row.flagged]


def _names(rows: Sequence[Row]) -> str:
    return _listed([row.name for row in rows])


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def describe(row: Row) -> str:
    """`4.820 ms, 93.9 % Top-1, peak 237 MB, file 12.3 MB`, of what is known."""
    parts = [f"{formatting.ms(median(row.rounds).value)} ms"]
    if row.top1 is not None:
        parts.append(f"{formatting.percent(row.top1)} Top-1")
    if row.peak_rss_mb:
        parts.append(f"peak {formatting.mb(float(np.median(row.peak_rss_mb)))} MB")
    if row.size_mb:
        parts.append(f"file {formatting.mb(row.size_mb)} MB")
    return ", ".join(parts)
