"""The verdict in sentences: the same for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis import pareto
from ..analysis.comparable import batch_and_threads
from ..analysis.names import shortened
from ..analysis.quality_warnings import quality_warnings
from ..analysis.results import Results, Row
from ..analysis.statistics import DECISION, RELEVANT, mean_latency
from ..analysis.verdict import Outcome, Verdict, verdicts
from ..spec.task import CLASSIFICATION
from . import formatting, tables
from .verdict_notes import describe, listed, notes

if TYPE_CHECKING:
    from rich.console import Console

LATENCY = (
    "latency, p95 and what is derived from them: the wall clock around one call, NumPy array in to NumPy array out, "
    "with the copies that each backend needs for that, after warm-up."
)
GPU_LATENCY = "On a GPU these are the copies from main memory to the GPU and back."
CLOCKS = {
    tables.TVM_CLOCK: (
        "time_evaluator: TVM's own clock. Kernels only, hot cache, no copy of the input. Do not compare it with "
        "the wall clock of another backend."
    ),
    tables.GPU_CLOCK: (
        "CUDA events: the GPU's own clock, from an event before the model's first kernel to one after its last, "
        "launches included. Inputs and outputs stay on the GPU: no copies. Do not compare it with the wall clock of "
        "another backend."
    ),
}
INCLUDES = (
    "load: from the file to a model that can be called, without the imports of its library. Eager PyTorch builds the "
    "network and loads a state dict; in INT8, FX quantization prepares and converts the network again before that. "
    "first call: the first one after loading, before warm-up.",
    "peak MB: the highest resident memory of the process (VmHWM); in brackets, its value after the imports.",
    "Each round ran every variant once, in random order, each in a fresh process. A latency is the geometric mean over "
    "the rounds of each round's median, and a ratio is the quotient of two such latencies. Both have Student's t "
    "interval of the logarithms, over the rounds; for a ratio, paired by round. Accuracies have Wilson's interval, "
    "their differences on the same images that of Bonett and Price. All are 95 % intervals, but for those that decide.",
    f"Who is faster is decided by a {DECISION:.0%} interval that lies beyond a difference of {RELEVANT:.0%}; anything "
    "less is a tie.",
)


def includes(results: Results) -> list[str]:
    """What each figure of the report includes, with the clocks that the race used."""
    used = tables.clocks(results)
    latency = f"{LATENCY} {GPU_LATENCY}" if tables.GPU_CLOCK in used else LATENCY
    return [latency, *(CLOCKS[name] for name in used or [tables.TVM_CLOCK]), *INCLUDES]


class Kind(Enum):
    """What a section of the summary is about; the value is its title."""

    NOTES = ""
    FRONT = "Pareto front: nothing else is clearly better in latency, accuracy, memory or size and worse in none:"
    SWEEP = "Other batch sizes and thread counts:"
    FLAGGED = "Disqualified:"
    FAILED = "Failed or skipped:"
    WARNINGS = "Quality warnings"


@dataclass(frozen=True)
class Section:
    """Lines of one kind."""

    kind: Kind
    lines: list[str]


@dataclass(frozen=True)
class Summary:
    """The sentences of a report. `sections` follow the headline; empty ones are left out."""

    verdict: Verdict
    headline: str
    sections: list[Section]
    warnings: Section


def summarize(results: Results) -> Summary:
    """The summary of the results. Variants are named without their model if all have the same."""
    results = shortened(results)
    first, *others = verdicts(results)
    sections = [
        Section(Kind.NOTES, [*_task(results), *_normalization(results), *notes(first), *_untuned(results)]),
        Section(Kind.FRONT, front(first.race)),
        Section(Kind.SWEEP, [_other_race(verdict) for verdict in others]),
        Section(Kind.FLAGGED, [f"{row.name} cannot win: {row.flagged}." for row in results.variants if row.flagged]),
        Section(Kind.FAILED, tables.failures(results)),
    ]
    filled = [section for section in sections if section.lines]
    return Summary(first, headline(first), filled, Section(Kind.WARNINGS, quality_warnings(results)))


def as_data(results: Results) -> dict[str, Any]:
    """The verdicts and quality warnings in sentences, and the main figures of each variant, for JSON."""
    return {
        "verdicts": [f"{headline(verdict)}." for verdict in verdicts(shortened(results))],
        "warnings": quality_warnings(results),
        "variants": [
            {
                "name": row.name,
                "status": row.status,
                "problem": row.error or row.flagged,
                "latency_ms": mean_latency(row.rounds).value if row.rounds else None,
                "top1": row.top1,
                "peak_mb": float(np.median(row.peak_rss_mb)) if row.peak_rss_mb else None,
                "size_mb": row.size_mb,
            }
            for row in results.variants
        ],
    }


def _task(results: Results) -> list[str]:
    """The task of a model that is no classifier."""
    task = results.settings.get("task", CLASSIFICATION)
    if task == CLASSIFICATION:
        return []
    return [f"Task: {task} ({results.settings['task_from']}). --task overrides it."]


def _untuned(results: Results) -> list[str]:
    """How to tune Relay, if no variant of it is."""
    rows = [row for row in results.variants if row.backend == "relay"]
    if not any(row.rounds for row in rows) or any(row.tuned for row in rows):
        return []
    model = results.settings.get("model", {}).get("model", "MODEL")
    return [
        f"Relay is not tuned for this CPU: `tvm-bench tune {model} --tuner templates`, with the options of this race, "
        "takes minutes, and says what it gained."
    ]


def _normalization(results: Results) -> list[str]:
    """How images become the input, where the model does not define it."""
    model = results.settings.get("model", {})
    if normalize := model.get("normalize"):
        how = "as ImageNet's are" if normalize == "imagenet" else f"to {normalize}"
        return [f"Images are normalized {how} (--normalize)."]
    if model.get("data") and model["model"].endswith(".onnx"):
        return ["Images are normalized as ImageNet's are: an ONNX file does not say how. --normalize overrides it."]
    return []


def headline(verdict: Verdict) -> str:
    """The variant to deploy, or why none can be named: a sentence without its full stop."""
    constraints = verdict.constraints
    within = f" within {constraints}" if constraints.given() else ""
    fastest = [verdict.first] if verdict.first else []
    match verdict.outcome:
        case Outcome.NO_COMPETITOR:
            return "No eligible variant was timed"
        case Outcome.NO_CONSTRAINT_MET:
            return f"No variant meets {constraints}"
        case Outcome.OPEN:
            return f"Open{within}: {_names([*fastest, *verdict.unclear])}, too close to a constraint to decide"
        case Outcome.ONE_ROUND:
            return "At least two rounds are needed to rank variants"
        case Outcome.TIE:
            return f"Tie for the fastest{within}: {_names([*fastest, *verdict.level])}"
        case Outcome.ALONE:
            name = _names(fastest)
            return (
                f"Deploy {name}: no other variant meets {constraints}"
                if within
                else f"{name} is the only eligible variant"
            )
        case Outcome.WINNER:
            return _win(_names(fastest), verdict, within)


def _win(name: str, verdict: Verdict, within: str) -> str:
    second = verdict.second
    assert second, "a winner has beaten another variant"
    lead = f"{second.name} takes {formatting.times(verdict.ratios[second.name])} its time"
    return f"Deploy {name}: the fastest{within}, {lead}" if within else f"{name} is the fastest: {lead}"


def front(race: Results) -> list[str]:
    """The Pareto front, one line per variant: its properties, and in which of them it is the best of the front."""
    rows = sorted(pareto.front(race), key=lambda row: mean_latency(row.rounds).value)
    best = {row.name: pareto.best_in(row, rows) for row in rows}
    return [
        f"{row.name}: {describe(row)}" + (f" (best in {listed(best[row.name])})" if best[row.name] else "")
        for row in rows
    ]


def show(summary: Summary, console: Console) -> None:
    """Print the summary; the Pareto front only without constraints, which name one variant instead."""
    from rich.text import Text

    console.print(Text(f"{summary.headline}.", style="bold"))
    for section in (*summary.sections, summary.warnings):
        if not section.lines or (section.kind is Kind.FRONT and summary.verdict.constraints.given()):
            continue
        title = section.kind.value
        if title:
            console.print(Text(f"{title.removesuffix(':')}:"))
        for line in section.lines:
            # A command in the reason of a failure must not be wrapped.
            console.print(Text(f"  {line}" if title else line), soft_wrap=section.kind is Kind.FAILED)


def _other_race(verdict: Verdict) -> str:
    batch, threads = batch_and_threads(verdict.race.variants[0], verdict.race)
    return f"Batch size {batch}, {threads} thread{'s' * (threads != 1)}: {headline(verdict)}."


def _names(rows: Sequence[Row]) -> str:
    return listed([row.name for row in rows])
