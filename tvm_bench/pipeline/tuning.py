"""The command `tune`: spends a budget of trials on a model's tasks. Each tuning step is a child process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..analysis import ledger as ledgers
from ..analysis.ledger import Ledger, StopReason
from ..analysis.tuning import Tuned
from ..host import manifest
from ..host.progress import Progress
from ..jobs.launcher import MEASURING, JobError, locked
from ..report.sparkline import sparkline
from ..report.tuning_summary import STOPS
from ..spec import backends
from ..spec.errors import UserError, unknown
from ..spec.tensors import to_json
from ..spec.variant import PRECISIONS, RunSpec, Variant
from . import steps
from .tuning_policy import POLICIES, NextStep, Policy
from .workbench import AUTO, LEDGER, TUNERS, Workbench

STEP_TIMEOUT = 900.0  # seconds
MINUTE = 60.0
CURVE = 16  # the last steps, which the curve in the progress bar shows

# Runs one tuning step in a child process and returns the tasks after it; None: only reads the records.
Runner = Callable[[NextStep | None], list[dict[str, Any]]]


@dataclass(frozen=True)
class Budget:
    """What all runs together may spend: trials, and minutes of tuning steps. Tuning ends when one is spent."""

    trials: int
    minutes: float | None = None

    @property
    def seconds(self) -> float:
        """The minutes in seconds; infinite without a limit."""
        return float("inf") if self.minutes is None else self.minutes * MINUTE


def tune(
    run_spec: RunSpec,
    tuner: str,
    budget: Budget,
    rpc: dict[str, Any] | None,
    *,
    again: bool = False,
    backend: str = "relay",
) -> list[Tuned]:
    """Tune each variant of `run_spec` until the budget is spent or there is no further gain, then build the libraries.

    `again` starts from scratch; existing records are renamed. `auto` runs the tuners of `AUTO` one after the other on
    one budget; over RPC only MetaSchedule. Every step is saved when it ends: after a kill the same command resumes, and
    it does nothing if nothing is left. A step whose process dies or hangs is recorded as failed. Raises `UserError` for
    a tuner that `backend` does not have or that cannot tune a precision, and if nothing was tuned.
    """
    tuners = _tuners(tuner, backend, rpc)
    known = TUNERS[backend]
    precisions = [precision for precision, _ in backends.pairs((backend,), run_spec.precisions)]
    allowed = [precision for precision in PRECISIONS if all(precision in known[name] for name in tuners)]
    for precision in precisions:
        if precision not in allowed:
            other = " or --tuner metaschedule" if precision in known["metaschedule"] else ""
            raise UserError(
                f"--tuner {tuner} cannot tune {precision.upper()}: it does not know the dot products. "
                f"Give --precision {','.join(allowed)}{other}."
            )
    bench = steps.open_workbench(run_spec, calibrate="int8" in precisions)
    variants = [variant for precision in precisions for variant in run_spec.variants(precision, backend, tuned=True)]
    if again:
        for folder in (bench.records(variant, name) for variant in variants for name in tuners):
            if folder.exists():
                folder.rename(folder.with_name(f"{folder.name}-until-{time.strftime('%Y%m%d-%H%M%S')}"))
    return [_tuned(bench, variant, tuners, budget, rpc) for variant in variants]


def _tuners(tuner: str, backend: str, rpc: dict[str, Any] | None) -> tuple[str, ...]:
    """The tuners to run. Raises `UserError` for one that `backend` does not have."""
    if backend not in TUNERS:
        raise unknown("backend of tune", backend, TUNERS)
    if tuner == "auto":
        return ("metaschedule",) if rpc else AUTO[backend]
    if tuner not in TUNERS[backend]:
        raise UserError(
            f"{backend} has no tuner '{tuner}', only {', '.join(TUNERS[backend])}. Give --tuner metaschedule, or "
            "--backend relay."
        )
    return (tuner,)


def _tuned(
    bench: Workbench, variant: Variant, tuners: tuple[str, ...], budget: Budget, rpc: dict[str, Any] | None
) -> Tuned:
    request = {
        "source": str(steps.source(bench, variant)[0]),
        "inputs": to_json(bench.inputs(variant.batch)),
        "threads": variant.threads,
        "target_text": bench.run_spec.target,
        "reference": str(steps.build(bench, replace(variant, tuned=False))),
        "rpc": rpc,
    }
    folders = {tuner: bench.records(variant, tuner) for tuner in tuners}
    results = {tuner: ledgers.read(folder / LEDGER) for tuner, folder in folders.items()}
    stops: dict[str, StopReason] = {}
    spent = 0
    for tuner, folder in folders.items():
        # The budget is shared: the trials of the tuners before this one count, and the time of all others.
        trials = budget.trials - sum(results[name].spent for name in stops)
        seconds = budget.seconds - sum(ledger.seconds for name, ledger in results.items() if name != tuner)
        run = partial(_run, bench, variant, {**request, "tuner": tuner, "records": str(folder)})
        title = f"tuning {variant.label}, {tuner}"
        results[tuner], trials_now, stops[tuner] = _search(
            title, folder / LEDGER, POLICIES[tuner], run, trials, seconds
        )
        spent += trials_now
    if not bench.tuned_by(variant):
        raise UserError(f"nothing was tuned: {STOPS[stops[tuners[-1]]]}. Give more of --minutes or --trials.")
    built = manifest.read(steps.build(bench, variant))
    return Tuned(variant.precision, folders[tuners[0]].parent, results, spent, stops, built["tuning"])


def _run(bench: Workbench, variant: Variant, request: dict[str, Any], step: NextStep | None) -> list[dict[str, Any]]:
    """A `Runner`, on the CPUs that a race gives the variant."""
    label = f"{request['tuner']}-{variant.precision}-{variant.backend}"
    environment = backends.named(variant.backend).environment
    options = {"reuse": False, "timeout": STEP_TIMEOUT, "threads": variant.threads, "masked": True}
    verb = f"tune_{environment}" if environment else "tune"
    receipt = bench.job(verb, {**request, **(asdict(step) if step else {})}, label, venv=environment, **options)
    return receipt["result"]["tasks"]


def _search(
    title: str, path: Path, policy: Policy, run: Runner, trials: int, seconds: float
) -> tuple[Ledger, int, StopReason]:
    """Run tuning steps until the `policy` stops, or until `trials` or `seconds` are spent, including earlier runs.

    Returns the ledger, the trials of this run, and why it ended.
    """
    ledger = ledgers.read(path).with_tasks(run(None))
    before = ledger.spent
    if before:
        ledgers.write(ledger, path)  # a killed run may have measured more than it wrote to the ledger
    trials = trials if ledger.schedules is None else min(trials, ledger.schedules)
    with Progress(title, max(trials, before), start=before) as progress:
        while isinstance(step := _next(policy, ledger, trials, seconds), NextStep):
            ledger = _after(step, ledger, run)
            ledgers.write(ledger, path)
            progress.to(min(ledger.spent, trials), _note(ledger))
    return ledger, ledger.spent - before, step


def _next(policy: Policy, ledger: Ledger, trials: int, seconds: float) -> NextStep | StopReason:
    left = trials - ledger.spent
    step = policy(ledger, left)
    if isinstance(step, StopReason):
        return step
    if left <= 0:
        return StopReason.TRIALS
    return StopReason.MINUTES if ledger.seconds >= seconds else step


def _after(step: NextStep, ledger: Ledger, run: Runner) -> Ledger:
    """The ledger after `step`, which waits while another run measures. The wait does not count as tuning time."""
    with locked(MEASURING):
        began = time.monotonic()
        error = None
        try:
            rows = run(step)
        except JobError as failure:
            error = str(failure)
            rows = run(None)  # what the step measured before it failed
        return ledger.after(step.tasks, step.candidate, rows, time.monotonic() - began, error)


def _note(ledger: Ledger) -> str:
    measured = sum(task.best_ms is not None for task in ledger.tasks)
    curve = sparkline(ledger.curve[-CURVE:])
    return f"{ledger.total_ms:.2f} ms in {measured} of {len(ledger.tasks)} tasks {curve}"
