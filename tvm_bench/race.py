"""The job of `tvm-bench bench`: build every variant, check its answers, then race them in interleaved rounds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import __version__, manifest, report, workbench
from . import backends as runtimes
from .errors import UserError
from .launch import JobError, locked
from .limits import Limits
from .measure import machine, shipped
from .progress import Progress
from .results import Results, Row, save
from .terms import Terms, disturbance, greed, most_repeats, staleness, wrongness
from .variant import Order, Variant
from .workbench import Workbench

# What a round brings beside its samples: one value each.
PER_ROUND = (
    *("load_ms", "first_call_ms", "rss_after_import_mb", "rss_after_load_mb", "peak_rss_mb", "pss_peak_mb"),
    *("live_threads", "working_threads", "cpu_per_wall", "watch"),
)


@dataclass(frozen=True)
class Rules:
    """The same for every variant of a race."""

    rounds: int = 5
    samples: int = 40
    warmup: int = 10
    images: int | None = None
    seed: int = 0
    seconds: float = 1800.0  # after which a variant that answers or is measured counts as hanging
    terms: Terms = Terms()


@dataclass(frozen=True)
class Entrant:
    """A variant, the artifact that it runs from once it is built, and its row so far."""

    variant: Variant
    row: Row
    artifact: Path = Path()


def run(
    order: Order, backends: tuple[str, ...], rules: Rules, command: str, limits: Limits
) -> tuple[Results, list[Path]]:
    """All that `bench` does: returns the results and the report's files. Raises `UserError` for bad input."""
    pairs = runtimes.pairs(backends, order.precisions)
    variants = [variant for pair in pairs for variant in order.variants(*pair)]
    bench = workbench.open_workbench(order, calibrate=any(variant.precision == "int8" for variant in variants))
    for precision, backend in pairs:
        if backend == "relay":
            variants += [each for each in order.variants(precision, backend, tuned=True) if bench.tuned_by(each)]
    settings = {
        "command": command,
        "model": order.subject.request(),
        "threads": _one_or_all(order.threads),
        "batch": _one_or_all(order.batches),
        **asdict(rules),
        "calibration": bench.about["calibration"],
        "reference": workbench.reference_variant(bench).name,
        "limits": limits.given(),
        "tvm_bench": __version__,
    }
    results = race(bench, variants, rules, settings)
    save(results, bench.folder / "results.json")
    return results, report.write(results, bench.folder)


def race(bench: Workbench, variants: list[Variant], rules: Rules, settings: dict) -> Results:
    """Race `variants`; one that fails becomes a row that says so, and the others go on."""
    entrants = [Entrant(variant, _empty_row(variant)) for variant in variants]
    with Progress("bench", 1 + len(entrants) * (2 + rules.rounds)) as progress:
        reference = workbench.reference_variant(bench)
        progress.step(f"reference answers: {reference.name}")
        _answers(bench, reference, workbench.build(bench, reference), rules)
        for i, entrant in enumerate(entrants):
            progress.step(f"building {entrant.variant.name}")
            entrants[i] = _attempt(entrant, lambda e: _built(bench, e))
            progress.step(f"answers of {entrant.variant.name}")
            entrants[i] = _attempt(entrants[i], lambda e: _evaluated(bench, e, rules))
        with locked(bench.order.root / "measuring.lock"):
            described = {**machine.describe(), "busy_share": machine.busy_share()}
            order = random.Random(rules.seed)
            spare = most_repeats(rules.rounds * len(entrants), rules.terms)
            for number in range(rules.rounds):
                # In random order, so that the machine's drift meets all alike.
                for i in order.sample(range(len(entrants)), len(entrants)):
                    progress.step(f"round {number + 1}/{rules.rounds}: {entrants[i].variant.name}")
                    before = entrants[i].row.disturbed
                    entrants[i] = _attempt(entrants[i], lambda e, left=spare: _with_round(bench, e, rules, left))
                    spare -= entrants[i].row.disturbed - before
    return Results(machine=described, settings=settings, variants=tuple(entrant.row for entrant in entrants))


def _empty_row(variant: Variant) -> Row:
    return Row(
        name=variant.name,
        precision=variant.precision,
        backend=variant.backend,
        frontend=variant.resolved_frontend,
        tuned=variant.tuned,
        batch=variant.batch,
        threads=variant.threads,
    )


def _one_or_all(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


def _attempt(entrant: Entrant, step: Callable[[Entrant], Entrant]) -> Entrant:
    """The entrant after `step`, or out of the race with the reason in its row."""
    if entrant.row.status == "failed":
        return entrant
    try:
        return step(entrant)
    except (UserError, JobError) as error:
        # A number of a variant that failed later is not shown either.
        failed = replace(_empty_row(entrant.variant), status="failed", error=str(error))
        return replace(entrant, row=failed)


def _built(bench: Workbench, entrant: Entrant) -> Entrant:
    artifact = workbench.build(bench, entrant.variant)
    row = replace(
        entrant.row,
        size_mb=workbench.size_mb(artifact),
        runtime_mb=shipped.runtime_mb(entrant.variant.backend),
        plan_mb=manifest.read(artifact)["plan_mb"] if artifact.is_dir() else None,
    )
    return replace(entrant, artifact=artifact, row=row)


def _evaluated(bench: Workbench, entrant: Entrant, rules: Rules) -> Entrant:
    if entrant.variant.backend == "null":
        return entrant
    if source := workbench.source_variant(entrant.variant):
        _answers(bench, source, workbench.build(bench, source), rules)
    found = _answers(bench, entrant.variant, entrant.artifact, rules)
    row = replace(entrant.row, **found)
    return replace(entrant, row=replace(row, flagged=wrongness(row, rules.terms)))


def _answers(bench: Workbench, variant: Variant, artifact: Path, rules: Rules) -> dict[str, Any]:
    """Evaluate a variant against the reference and, for a library, against the model that it was built from."""
    against = {"reference": workbench.answers(bench, workbench.reference_variant(bench))}
    if source := workbench.source_variant(variant):
        against["source"] = workbench.answers(bench, source)
    return workbench.evaluate(bench, variant, artifact, limit=rules.images, against=against, seconds=rules.seconds)


def _with_round(bench: Workbench, entrant: Entrant, rules: Rules, spare: int) -> Entrant:
    """The entrant with one more round; a disturbed one is repeated, as often as the rules and `spare` allow."""
    variant, row, repeated = entrant.variant, entrant.row, 0
    found = _measured(bench, entrant, rules)
    while found["watch"]["disturbance"] and repeated < min(rules.terms.repeats, spare):
        found, repeated = _measured(bench, entrant, rules), repeated + 1
    rounds = (row.latency_ms or {"rounds": []})["rounds"]
    evaluated = found["time_evaluator_ms"]
    row = replace(
        row,
        latency_ms={"rounds": [*rounds, found["latency_ms"]]},
        time_evaluator_ms=[*(row.time_evaluator_ms or []), evaluated] if evaluated else None,
        disturbed=row.disturbed + repeated,
        flagged=row.flagged or greed(found, variant.threads, rules.terms) or staleness(found),
        **{name: [*getattr(row, name), found[name]] for name in PER_ROUND if found[name] is not None},
    )
    return replace(entrant, row=row)


def _measured(bench: Workbench, entrant: Entrant, rules: Rules) -> dict[str, Any]:
    found = workbench.measure(
        bench,
        entrant.variant,
        entrant.artifact,
        warmup=rules.warmup,
        samples=rules.samples,
        seconds=rules.seconds,
    )
    disturbed = disturbance(found["watch"], entrant.variant.threads, rules.terms)
    return {**found, "watch": {**found["watch"], "disturbance": disturbed}}
