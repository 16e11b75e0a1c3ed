"""The command `bench`: build every variant, check its answers, then race all in interleaved rounds.

race_entrants.py lists the variants, race_rounds.py measures a round, race_state.py saves and resumes.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .. import __version__, report
from ..analysis.results import Results, Row, save
from ..analysis.validity import judged
from ..host import arithmetic, checkout, deployment_size, environments, machine, manifest, packages
from ..host.progress import Progress
from ..jobs.launcher import MEASURING, JobError, locked
from ..spec import backends as runtimes
from ..spec.constraints import Constraints
from ..spec.errors import UserError
from ..spec.feed import SYNTHETIC
from ..spec.layer_errors import LayerErrors
from ..spec.variant import RELAY, RunSpec, Variant
from . import diff, measurement, race_state, steps
from .race_entrants import Entrant, attempt, entrant, entrants
from .race_explanation import with_explanation
from .race_rounds import Rules, run_round
from .workbench import Workbench

LOG = logging.getLogger(__name__)
__all__ = ["Rules", "built", "entrant", "entrants", "evaluated", "opened", "race", "run", "settings", "with_layers"]


def run(
    run_spec: RunSpec, backends: tuple[str, ...], rules: Rules, command: str, constraints: Constraints
) -> tuple[Results, list[Path]]:
    """Run the whole race. Returns the results and the files of the report. Raises `UserError` for bad input."""
    bench = opened(run_spec, backends)
    path = bench.folder / "results.json"
    results = race(entrants(bench, backends), rules, settings(bench, command, constraints), path)
    return results, report.write(results, bench.folder)


def opened(run_spec: RunSpec, backends: tuple[str, ...]) -> Workbench:
    """The workbench of a race: the model is described, which takes seconds. Raises `UserError` for bad input."""
    pairs = runtimes.pairs(backends, run_spec.precisions)
    return steps.open_workbench(run_spec, calibrate=any(precision == "int8" for precision, _ in pairs), answers=True)


def settings(bench: Workbench, command: str, constraints: Constraints) -> dict[str, Any]:
    """The settings that the results record, except the rules."""
    run_spec = bench.run_spec
    return {
        "command": command,
        "model": run_spec.model_spec.request(),
        "target": run_spec.target or "host",
        "threads": _one_or_all(run_spec.threads),
        "batch": _one_or_all(run_spec.batches),
        "task": bench.about["task"],
        "task_from": "--task" if run_spec.task else "guessed from the outputs",
        "inputs": _inputs(bench),
        "calibration": bench.about["calibration"],
        "reference": "-".join(measurement.reference_kind(bench)),
        "limits": constraints.given(),
        "tvm_bench": __version__,
        "commit": checkout.commit(),
        "dirty": checkout.dirty(),
    }


def race(entrants: list[Entrant], rules: Rules, settings: dict[str, Any], path: Path) -> Results:
    """Race `entrants`, and save the results at `path` after every round. An interrupted race at `path` is resumed.

    If an entrant fails, its row has the reason, and the others continue.
    """
    timed = sum(entrant.timed for entrant in entrants)
    with Progress("bench", 2 * len(entrants) + timed * rules.rounds) as progress:
        entrants = [_prepared(entrant, rules, progress) for entrant in entrants]
        with locked(MEASURING):
            described = {**machine.describe(), "busy_share": machine.busy_share()}
            results = race_state.begin(path, entrants, described, {**settings, **asdict(rules)})
            entrants = [replace(entrant, row=row) for entrant, row in zip(entrants, results.variants, strict=True)]
            results = replace(results, peaks=results.peaks or _peaks(entrants))
            progress.skip(timed * results.finished_rounds)
            with race_state.explained(path, results.settings["start"]):
                for number in range(results.finished_rounds, rules.rounds):
                    rates = (*results.matmul_rates, arithmetic.matmul_rate())
                    entrants = run_round(entrants, rules, results.settings["seed"], number, progress)
                    results = race_state.save_round(replace(results, matmul_rates=rates), entrants, path)
            progress.to(progress.steps, "what limits the INT8 variants")
            results = replace(results, variants=tuple(map(with_explanation, entrants)))
            save(results, path)
    return results


def _peaks(entrants: list[Entrant]) -> dict[str, float]:
    """What the CPU can do on the most threads of the race; empty if it cannot be measured."""
    bench = entrants[0].bench
    threads = bench.run_spec.most_threads
    try:
        return bench.job("peaks", {"threads": threads}, "cpu", reuse=False, masked=True)["result"]
    except JobError as error:
        LOG.warning("the peaks of this CPU were not measured: %s", error)
        return {}


def _inputs(bench: Workbench) -> dict[str, str]:
    """What the answers are checked on, and what is timed."""
    model, checked = bench.model_spec, bench.about["feed"]
    if model.samples and model.samples != SYNTHETIC:
        return {"checked": checked, "timed": checked}
    checked = checked if model.data else f"synthetic ({checked})"
    return {"checked": checked, "timed": "synthetic (seeded noise of varied brightness and contrast)"}


def _one_or_all(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


def _prepared(entrant: Entrant, rules: Rules, progress: Progress) -> Entrant:
    """The entrant after its build and the check of its answers."""
    progress.step(f"building {entrant.variant.name}")
    entrant = attempt(entrant, built)
    progress.step(f"answers of {entrant.variant.name}")
    entrant = attempt(entrant, lambda compiled: evaluated(compiled, rules))
    identity = measurement.identity(entrant.bench, entrant.variant) if entrant.row.ok else None
    return replace(entrant, row=replace(entrant.row, identity=identity))


def built(entrant: Entrant) -> Entrant:
    """The entrant with its artifact and its sizes. Raises `Unavailable` if a package or a device is missing."""
    backend = runtimes.named(entrant.variant.backend)
    packages.need(backend.packages, gpu=backend.gpu)
    if backend.environment:
        environments.python(backend.environment)
    artifact = steps.build(entrant.bench, entrant.variant)
    row = replace(
        entrant.row,
        size_mb=measurement.size_mb(artifact),
        runtime_mb=deployment_size.runtime_mb(entrant.variant.backend),
        **_of_library(artifact) if artifact.is_dir() else {},
    )
    return replace(entrant, built=artifact, row=row)


def _of_library(artifact: Path) -> dict[str, Any]:
    about = manifest.read(artifact)
    operations = sum(kernel.get("calls", 1) * (kernel.get("operations") or 0) for kernel in about["kernels"].values())
    return {"plan_mb": about["plan_mb"], "operations": operations or None}


def evaluated(entrant: Entrant, rules: Rules) -> Entrant:
    """The entrant with its scores: accuracy, and agreement with the reference and, for a library, its source model."""
    bench, variant = entrant.bench, entrant.variant
    if variant.backend == "null":
        return entrant
    against: dict[str, tuple[Path, ...]] = {}
    failures: dict[str, str] = {}
    source = measurement.source_variant(variant)
    compared = {"reference": measurement.reference_variant(bench)} | ({"source": source} if source else {})
    for role, other in compared.items():
        try:
            against[role] = _answers(bench, other, against, rules)
        except (UserError, JobError) as error:
            failures[role] = f"{other.name} failed: {error}"
    row = replace(entrant.row, **_evaluate(bench, variant, entrant.artifact, against, rules))
    if variant.backend in RELAY and variant.precision == "int8":
        row = _with_layers(row, bench, variant)
    return replace(entrant, row=judged(row, rules.validity, failures))


def _with_layers(row: Row, bench: Workbench, variant: Variant) -> Row:
    try:
        result = diff.layers(bench, variant, whole=False)
    except (UserError, JobError) as error:
        return replace(row, layers_missing=str(error))
    return with_layers(row, result)


def with_layers(row: Row, result: dict[str, Any]) -> Row:
    """The row of an INT8 library with the comparison of its layers, the `result` of the verb `diff`.

    If a layer does not compile, the row has the reason instead.
    """
    compared = list(map(LayerErrors.from_dict, result["layers"]))
    if failed := [f"{layer.name}: {layer.failure.reason}" for layer in compared if layer.failure]:
        return replace(row, layers_missing=f"{len(failed)} of {len(compared)} do not compile alone, first {failed[0]}")
    wrong = [layer.name for layer in compared if layer.wrong]
    layers = {"count": len(compared), "wrong": len(wrong), "first": wrong[0] if wrong else None}
    distances = {**row.distances, "itself": result["itself"]} if row.distances else None
    return replace(row, layers=layers, distances=distances)


def _answers(
    bench: Workbench, variant: Variant, against: dict[str, tuple[Path, ...]], rules: Rules
) -> tuple[Path, ...]:
    """The files of the answers of `variant`, a reference or source model, which is scored too."""
    paths = measurement.answers(bench, variant)
    _evaluate(bench, variant, steps.build(bench, variant), {"reference": paths, **against}, rules)
    return paths


def _evaluate(
    bench: Workbench, variant: Variant, artifact: Path, against: dict[str, tuple[Path, ...]], rules: Rules
) -> dict[str, Any]:
    return measurement.evaluate(
        bench, variant, artifact, limit=rules.images, against=against, seconds=rules.answer_seconds
    )
