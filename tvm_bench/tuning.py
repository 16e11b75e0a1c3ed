"""`tvm-bench tune`: spends a budget of trials on a model's tasks, a few in a child process at a time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import manifest, workbench
from .errors import UserError
from .files import write_json
from .launch import JobError
from .progress import Progress
from .variant import Order, Variant
from .workbench import LEDGER, TUNERS, Workbench

PER_ROUND = {"autoscheduler": 8, "metaschedule": 64}  # trials that a compiler which aborts can cost
ROUND_LIMIT = 900.0  # seconds after which a compiler hangs
MINUTE = 60.0
WORTH = 0.002  # of the estimated latency: tasks whose last two rounds together gained less are left
MAX_CRASHES = 2


@dataclass(frozen=True)
class Budget:
    """What may be spent: measured schedules in all, those of earlier runs included, and minutes of this run."""

    trials: int
    minutes: float | None = None


@dataclass(frozen=True)
class Tuned:
    """What a tuning came to: the ledger of its tasks, and the library that was built with its records."""

    precision: str
    tuner: str
    records: Path
    ledger: dict[str, Any]
    spent: int  # trials of this run
    measured: dict[str, Any]  # of the built model: `candidates_ms`, `chosen`, `coverage`

    @property
    def paid_after(self) -> float | None:
        """Inferences after which the tuning's time is won back; None when nothing was gained."""
        times = self.measured["candidates_ms"]
        gained = times["default"] - times[self.measured["chosen"]]
        return self.ledger["seconds"] * 1e3 / gained if gained > 0 else None


def tune(order: Order, tuner: str, budget: Budget, rpc: dict[str, Any] | None) -> list[Tuned]:
    """Tune each variant of `order` until the budget is spent or nothing is gained any more, then build with it.

    Every round is on disk when it ends: the same command goes on after a kill, and does nothing when nothing is left.
    A round whose process died or hung is written down, and its task goes on with the random cost model.
    """
    for precision in order.precisions:
        if precision not in TUNERS[tuner]:
            raise UserError(
                f"precision {precision}: {tuner} cannot use the INT8 dot products of a CPU and tunes "
                f"{', '.join(TUNERS[tuner])} only. Give --tuner metaschedule."
            )
    bench = workbench.open_workbench(order, calibrate="int8" in order.precisions)
    variants = [variant for precision in order.precisions for variant in order.variants(precision, "relay", tuned=True)]
    return [_tuned(bench, variant, tuner, budget, rpc) for variant in variants]


def _tuned(bench: Workbench, variant: Variant, tuner: str, budget: Budget, rpc: dict[str, Any] | None) -> Tuned:
    folder = bench.records(variant, tuner)
    ledger = _read(folder / LEDGER)

    def measure(task: str | None, trials: int, cost_model: str) -> list[dict[str, Any]]:
        request = {
            "source": str(workbench.source(bench, variant)[0]),
            "shape": [variant.batch, *bench.about["spec"]["shape"]],
            "threads": variant.threads,
            "target_text": bench.order.target,
            "records": str(folder),
            "task": task,
            "trials": trials,
            "cost_model": cost_model,
            "rpc": rpc,
        }
        label = f"{variant.precision}-relay"
        receipt = bench.job(tuner, request, label, keep=False, timeout=ROUND_LIMIT, threads=variant.threads)
        return receipt["result"]["tasks"]

    ledger["tasks"] = measure(None, 0, "random")
    if before := _spent(ledger):
        write_json(folder / LEDGER, ledger)  # a run that was killed may have measured more than it wrote here
    until = time.monotonic() + (budget.minutes or float("inf")) * MINUTE
    with Progress(f"tuning {variant.form}", budget.trials, start=min(before, budget.trials)) as progress:
        while (left := budget.trials - _spent(ledger)) > 0 and time.monotonic() < until:
            task = _next(ledger)
            if task is None:
                break
            began, key = time.monotonic(), task["key"]
            crashed = key in ledger["crashes"]
            try:
                ledger["tasks"] = measure(key, min(PER_ROUND[tuner], left), "random" if crashed else "xgboost")
                ledger["rounds"].setdefault(key, []).append(_task(ledger, key)["best_ms"])
            except JobError as error:
                ledger["crashes"].setdefault(key, []).append(str(error)[:200])
                ledger["tasks"] = measure(None, 0, "random")
            ledger["seconds"] += time.monotonic() - began
            write_json(folder / LEDGER, ledger)
            progress.to(min(_spent(ledger), budget.trials), f"{_estimate(ledger)}, last: {task['name'][:40]}")
    if not (folder / LEDGER).exists():
        raise UserError(f"nothing was tuned in {budget.minutes} minutes. Give more of --minutes or --trials.")
    artifact = workbench.build(bench, variant)
    return Tuned(variant.precision, tuner, folder, ledger, _spent(ledger) - before, manifest.read(artifact)["tuning"])


def _read(path: Path) -> dict[str, Any]:
    """`tasks`; `rounds`, the best time of a task after each; `crashes`, what killed a task's compiler; `seconds`."""
    empty: dict[str, Any] = {"tasks": [], "rounds": {}, "crashes": {}, "seconds": 0.0}
    return empty | (json.loads(path.read_text()) if path.exists() else {})


def _next(ledger: dict[str, Any]) -> dict[str, Any] | None:
    """First every task once, the heaviest first; then the one whose last rounds gained most. None: it is enough."""
    able = [task for task in ledger["tasks"] if len(ledger["crashes"].get(task["key"], ())) < MAX_CRASHES]
    if fresh := [task for task in able if not task["trials"]]:
        return max(fresh, key=lambda task: task["flops"] * task["weight"])
    gains = {task["key"]: _gain(ledger, task) for task in able}
    promising = [task for task in able if gains[task["key"]] > WORTH * _total(ledger)]
    return max(promising, key=lambda task: gains[task["key"]], default=None)


def _gain(ledger: dict[str, Any], task: dict[str, Any]) -> float:
    """Milliseconds of the model that a task's last two rounds gained; after one round, a tenth of what it takes."""
    if task["best_ms"] is None:
        return 0.0
    rounds = [best for best in ledger["rounds"].get(task["key"], []) if best]
    if len(rounds) < 2:
        return 0.1 * task["weight"] * task["best_ms"]
    return task["weight"] * (rounds[-min(3, len(rounds))] - rounds[-1])


def _task(ledger: dict[str, Any], key: str) -> dict[str, Any]:
    return next(task for task in ledger["tasks"] if task["key"] == key)


def _spent(ledger: dict[str, Any]) -> int:
    return sum(task["trials"] for task in ledger["tasks"])


def _total(ledger: dict[str, Any]) -> float:
    return sum(task["weight"] * task["best_ms"] for task in ledger["tasks"] if task["best_ms"])


def _estimate(ledger: dict[str, Any]) -> str:
    measured = sum(task["best_ms"] is not None for task in ledger["tasks"])
    return f"{_total(ledger):.2f} ms in {measured} of {len(ledger['tasks'])} tasks"
