"""The job of `tvm-bench bench`: build every variant, check its answers, then race them in interleaved rounds."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__, report
from ..analysis.results import Results, Row, save
from ..analysis.validity import ValidityLimits, disturbance, greed, judged, most_repeats, staleness
from ..host import deployment_size, machine, manifest, packages
from ..host.progress import Progress
from ..jobs.launcher import JobError, locked
from ..spec import backends as runtimes
from ..spec.constraints import Constraints
from ..spec.errors import Unavailable, UserError
from ..spec.variant import RunSpec, Variant
from . import measurement, steps
from .steps import Workbench

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
    seed: int | None = None  # of the order in each round; None: drawn
    # Seconds after which a variant counts as hanging: while it answers all images, and in a round.
    answer_seconds: float = 1800.0
    round_seconds: float = 300.0
    terms: ValidityLimits = ValidityLimits()


@dataclass(frozen=True)
class Entrant:
    """A variant, the artifact that it runs from once it is built, and its row so far."""

    bench: Workbench
    variant: Variant
    row: Row
    artifact: Path = Path()
    timed: bool = True  # what others are compared with has answers, also where nobody asked for its time


def run(
    run_spec: RunSpec, backends: tuple[str, ...], rules: Rules, command: str, limits: Constraints
) -> tuple[Results, list[Path]]:
    """All that `bench` does: returns the results and the report's files. Raises `UserError` for bad input."""
    pairs = runtimes.pairs(backends, run_spec.precisions)
    bench = steps.open_workbench(run_spec, calibrate=any(precision == "int8" for precision, _ in pairs))
    results = race(entrants(bench, backends), rules, settings(bench, rules, command, limits))
    save(results, bench.folder / "results.json")
    return results, report.write(results, bench.folder)


def settings(bench: Workbench, rules: Rules, command: str, limits: Constraints) -> dict[str, Any]:
    """What the results say of how they came about."""
    run_spec = bench.run_spec
    return {
        "command": command,
        "model": run_spec.model_spec.request(),
        "target": run_spec.target or "host",
        "threads": _one_or_all(run_spec.threads),
        "batch": _one_or_all(run_spec.batches),
        **asdict(rules),
        "calibration": bench.about["calibration"],
        "reference": "-".join(measurement.reference_form(bench)),
        "limits": limits.given(),
        "tvm_bench": __version__,
    }


def entrants(bench: Workbench, backends: tuple[str, ...]) -> list[Entrant]:
    """Every variant that the order asks for, tuned ones where there are records, and what they are compared with: FP32
    eager, and for a compressed model that of the model before. Records of another CPU make a row that says so."""
    run_spec = bench.run_spec
    pairs = runtimes.pairs(backends, run_spec.precisions)
    variants = [variant for pair in pairs for variant in run_spec.variants(*pair)]
    for precision, backend in pairs:
        if backend == "relay":
            variants += [each for each in run_spec.variants(precision, backend, tuned=True) if bench.tuned_by(each)]
    found = [entrant(bench, variant) for variant in variants] + _tuned_elsewhere(bench, pairs)
    reference = measurement.reference_form(bench)
    if bench.recipe.steps:
        plain = steps.with_recipe(bench, "")
        return [entrant(plain, variant) for variant in plain.run_spec.variants(*reference)] + found
    if reference not in pairs:
        return [entrant(bench, variant, timed=False) for variant in run_spec.variants(*reference)] + found
    return found


def _tuned_elsewhere(bench: Workbench, pairs: list[tuple[str, str]]) -> list[Entrant]:
    """A skipped row for each precision whose tuning records are all for other CPUs, threads or batches."""
    found = []
    for precision in (precision for precision, backend in pairs if backend == "relay"):
        variant, *more = bench.run_spec.variants(precision, "relay", tuned=True)
        if not any(map(bench.tuned_by, (variant, *more))) and (others := bench.tuned_elsewhere(variant)):
            here, there = bench.records(variant, "").name, ", ".join(others)
            reason = f"its tuning records are for {there}, and this is {here}. Make them: tvm-bench tune"
            row = replace(_empty_row(variant), status="skipped", error=reason)
            found.append(Entrant(bench, variant, row))
    return found


def race(entrants: list[Entrant], rules: Rules, settings: dict[str, Any]) -> Results:
    """Race `entrants`; one that fails becomes a row that says so, and the others go on."""
    if rules.seed is None:
        rules = replace(rules, seed=secrets.randbelow(2**32))
    timed = [i for i, entrant in enumerate(entrants) if entrant.timed]
    with Progress("bench", 2 * len(entrants) + len(timed) * rules.rounds) as progress:
        for i, entrant in enumerate(entrants):
            progress.step(f"building {entrant.variant.name}")
            entrants[i] = _attempt(entrant, _built)
            progress.step(f"answers of {entrant.variant.name}")
            entrants[i] = _attempt(entrants[i], lambda e: _evaluated(e, rules))
        with locked(entrants[0].bench.run_spec.root / "measuring.lock"):
            described = {**machine.describe(), "busy_share": machine.busy_share()}
            order = random.Random(rules.seed)
            spare = most_repeats(rules.rounds * len(timed), rules.terms)
            for number in range(rules.rounds):
                # In random order, so that the machine's drift meets all alike.
                for i in order.sample(timed, len(timed)):
                    progress.step(f"round {number + 1}/{rules.rounds}: {entrants[i].variant.name}")
                    before = entrants[i].row.disturbed
                    entrants[i] = _attempt(entrants[i], lambda e, left=spare: _with_round(e, rules, left))
                    spare -= max(0, entrants[i].row.disturbed - before)
    rows = tuple(entrant.row for entrant in entrants)
    return Results(machine=described, settings={**settings, "seed": rules.seed}, variants=rows)


def entrant(bench: Workbench, variant: Variant, *, timed: bool = True) -> Entrant:
    """A variant at the start."""
    return Entrant(bench, variant, _empty_row(variant), timed=timed)


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
    if not entrant.row.ok:
        return entrant
    try:
        return step(entrant)
    except (UserError, JobError) as error:
        # A number of a variant that failed later is not shown either.
        status = "skipped" if isinstance(error, Unavailable) else "failed"
        failed = replace(_empty_row(entrant.variant), status=status, error=str(error))
        return replace(entrant, row=replace(failed, disturbed=entrant.row.disturbed))


def _built(entrant: Entrant) -> Entrant:
    backend = runtimes.named(entrant.variant.backend)
    packages.need(backend.packages, gpu=backend.gpu)
    artifact = steps.build(entrant.bench, entrant.variant)
    row = replace(
        entrant.row,
        size_mb=measurement.size_mb(artifact),
        runtime_mb=deployment_size.runtime_mb(entrant.variant.backend),
        plan_mb=manifest.read(artifact)["plan_mb"] if artifact.is_dir() else None,
    )
    return replace(entrant, artifact=artifact, row=row)


def _evaluated(entrant: Entrant, rules: Rules) -> Entrant:
    """The entrant with what its answers are worth, beside the reference and, for a library, what it was built from."""
    bench, variant = entrant.bench, entrant.variant
    if variant.backend == "null":
        return entrant
    against: dict[str, Path] = {}
    failures: dict[str, str] = {}
    source = measurement.source_variant(variant)
    compared = {"reference": measurement.reference_variant(bench)} | ({"source": source} if source else {})
    for role, other in compared.items():
        try:
            against[role] = _answers(bench, other, against, rules)
        except (UserError, JobError) as error:
            failures[role] = f"{other.name} failed: {error}"
    row = replace(entrant.row, **_evaluate(bench, variant, entrant.artifact, against, rules))
    return replace(entrant, row=judged(row, rules.terms, failures))


def _answers(bench: Workbench, variant: Variant, against: dict[str, Path], rules: Rules) -> Path:
    """The file of the answers of what others are compared with, which is compared itself where it can be."""
    path = measurement.answers(bench, variant)
    _evaluate(bench, variant, steps.build(bench, variant), {"reference": path, **against}, rules)
    return path


def _evaluate(
    bench: Workbench, variant: Variant, artifact: Path, against: dict[str, Path], rules: Rules
) -> dict[str, Any]:
    return measurement.evaluate(
        bench, variant, artifact, limit=rules.images, against=against, seconds=rules.answer_seconds
    )


def _with_round(entrant: Entrant, rules: Rules, spare: int) -> Entrant:
    """The entrant with one more round; a disturbed one is repeated, as often as the rules and `spare` allow."""
    variant, row, repeated = entrant.variant, entrant.row, 0
    found = _measured(entrant, rules)
    while found["watch"]["disturbance"] and repeated < min(rules.terms.repeats, spare):
        found, repeated = _measured(entrant, rules), repeated + 1
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


def _measured(entrant: Entrant, rules: Rules) -> dict[str, Any]:
    found = measurement.measure(
        entrant.bench,
        entrant.variant,
        entrant.artifact,
        warmup=rules.warmup,
        samples=rules.samples,
        seconds=rules.round_seconds,
    )
    disturbed = disturbance(found["watch"], entrant.variant.threads, rules.terms)
    return {**found, "watch": {**found["watch"], "disturbance": disturbed}}
