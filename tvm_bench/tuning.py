"""`tvm-bench tune`: spends a budget of trials on a model's tasks, a few in a child process at a time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import workbench
from .errors import UserError
from .files import write_json
from .launch import JobError
from .progress import Progress
from .variant import Order
from .workbench import Workbench

PER_ROUND = 16  # trials that a compiler which aborts can cost
MINUTE = 60.0
LEDGER = "ledger.json"


@dataclass(frozen=True)
class Budget:
    """What may be spent: measured schedules in all, those of earlier runs included, and minutes of this run."""

    trials: int
    minutes: float | None = None


def tune(order: Order, budget: Budget) -> tuple[Path, list[dict[str, Any]]]:
    """Tune FP32 until the budget is spent; returns the records' file and the ledger of tasks.

    Every round is on disk when it ends: the same command goes on after a kill, and does nothing when nothing is left.
    A round whose process died is written down, and its task goes on with the random cost model.
    """
    if order.precisions != ("fp32",):
        raise UserError(
            f"precision {','.join(order.precisions)}: AutoScheduler cannot use the INT8 dot products of a CPU, so only "
            "fp32 is tuned. Give --precision fp32; INT8 keeps TVM's default schedules."
        )
    bench = workbench.open_workbench(order)
    ledger = _round(bench, None, 0, "random")
    crashes = _crashes(bench.records.with_name(LEDGER))
    until = time.monotonic() + (budget.minutes or float("inf")) * MINUTE
    with Progress("tuning", budget.trials, start=min(_spent(ledger), budget.trials)) as progress:
        while (left := budget.trials - _spent(ledger)) > 0 and time.monotonic() < until:
            task = _next(ledger, crashes)
            if task is None:
                break
            try:
                model = "random" if crashes.get(task["key"]) else "xgboost"
                ledger = _round(bench, task["key"], min(PER_ROUND, left), model)
            except JobError:
                crashes[task["key"]] = crashes.get(task["key"], 0) + 1
                ledger = _round(bench, None, 0, "random")
            write_json(bench.records.with_name(LEDGER), {"tasks": ledger, "crashes": crashes})
            progress.to(min(_spent(ledger), budget.trials), f"{_estimate(ledger)}, last: {task['name'][:40]}")
    return bench.records, ledger


def _round(bench: Workbench, task: str | None, trials: int, cost_model: str) -> list[dict[str, Any]]:
    source, _ = workbench.prepare(bench, "onnx", "fp32", bench.order.batch)
    request = {
        "source": str(source),
        "shape": [bench.order.batch, *bench.about["spec"]["shape"]],
        "threads": bench.order.threads,
        "target_text": bench.order.target,
        "records": str(bench.records),
        "task": task,
        "trials": trials,
        "cost_model": cost_model,
    }
    return bench.job("tune", request, "fp32-relay", keep=False)["result"]["tasks"]


def _crashes(ledger: Path) -> dict[str, int]:
    """How often a compiler died on each task, in this run and those before."""
    return json.loads(ledger.read_text())["crashes"] if ledger.exists() else {}


def _next(ledger: list[dict[str, Any]], crashes: dict[str, int]) -> dict[str, Any] | None:
    """First every task once, the heaviest first; then where a share of its time, over its trials, promises most."""
    able = [task for task in ledger if crashes.get(task["key"], 0) < 2 and not _hopeless(task)]
    if fresh := [task for task in able if not task["trials"]]:
        return max(fresh, key=lambda task: task["flops"] * task["weight"])
    return max(able, key=lambda task: task["weight"] * task["best_ms"] / task["trials"], default=None)


def _hopeless(task: dict[str, Any]) -> bool:
    return task["trials"] > 0 and task["best_ms"] is None


def _spent(ledger: list[dict[str, Any]]) -> int:
    return sum(task["trials"] for task in ledger)


def _estimate(ledger: list[dict[str, Any]]) -> str:
    measured = [task for task in ledger if task["best_ms"] is not None]
    total = sum(task["weight"] * task["best_ms"] for task in measured)
    return f"{total:.2f} ms in {len(measured)} of {len(ledger)} tasks"
