"""`tvm-bench tune`: spends a budget of trials on a model's tasks, a few in a child process at a time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..analysis.tuning import Tuned
from ..host import manifest
from ..host.files import write_json
from ..host.progress import Progress
from ..jobs.launcher import JobError
from ..spec import backends
from ..spec.errors import UserError
from ..spec.variant import RunSpec, Variant
from . import steps
from .steps import LEDGER, TUNERS, Workbench

AUTO = ("templates", "metaschedule")
PER_ROUND = {"autoscheduler": 8, "metaschedule": 64, "templates": 1}  # trials that a compiler which aborts can cost
ROUND_LIMIT = 900.0  # seconds after which a compiler hangs
MINUTE = 60.0
WORTH = 0.002  # of the estimated latency: tasks whose last two rounds together gained less are left
MAX_CRASHES = 2
BARS = "▁▂▃▄▅▆▇█"
CURVE = 16  # rounds that the curve of the progress bar shows


@dataclass(frozen=True)
class Budget:
    """What may be spent in all, by earlier runs too: measured schedules, and minutes of rounds. The first ends it."""

    trials: int
    minutes: float | None = None


def tune(
    run_spec: RunSpec, tuner: str, budget: Budget, rpc: dict[str, Any] | None, *, again: bool = False
) -> list[Tuned]:
    """Tune each variant of `run_spec` until the budget is spent or nothing is gained any more, then build with it.

    `again` begins anew; the records so far are kept beside the new ones. `auto` runs the tuners of `AUTO` one after the
    other on one budget; over RPC only MetaSchedule. Every round is on disk when it ends: the same command goes on after
    a kill, and does nothing when nothing is left. A round whose process died or hung is written down, and its task goes
    on with the random cost model.
    """
    tuners = ("metaschedule",) if tuner == "auto" and rpc else AUTO if tuner == "auto" else (tuner,)
    precisions = [precision for precision, _ in backends.pairs(("relay",), run_spec.precisions)]
    for precision in precisions:
        if not all(precision in TUNERS[each] for each in tuners):
            raise UserError(
                f"precision {precision}: {tuner} cannot use the INT8 dot products of a CPU and tunes "
                f"{', '.join(TUNERS[tuner])} only. Give --tuner metaschedule."
            )
    bench = steps.open_workbench(run_spec, calibrate="int8" in precisions)
    variants = [variant for precision in precisions for variant in run_spec.variants(precision, "relay", tuned=True)]
    if again:
        for folder in (bench.records(variant, tuner) for variant in variants for tuner in tuners):
            if folder.exists():
                folder.rename(folder.with_name(f"{folder.name}-until-{time.strftime('%Y%m%d-%H%M%S')}"))
    return [_tuned(bench, variant, tuners, budget, rpc) for variant in variants]


def _tuned(
    bench: Workbench, variant: Variant, tuners: tuple[str, ...], budget: Budget, rpc: dict[str, Any] | None
) -> Tuned:
    request = {
        "source": str(steps.source(bench, variant)[0]),
        "shape": [variant.batch, *bench.about["spec"]["shape"]],
        "threads": variant.threads,
        "target_text": bench.run_spec.target,
        "reference": str(steps.build(bench, replace(variant, tuned=False))),
        "rpc": rpc,
    }
    before = sum(_read(bench.records(variant, tuner) / LEDGER)["seconds"] for tuner in tuners)
    until = time.monotonic() + (budget.minutes or float("inf")) * MINUTE - before
    ledgers: dict[str, dict[str, Any]] = {}
    ends: dict[str, str] = {}
    spent = 0
    for tuner in tuners:
        folder = bench.records(variant, tuner)
        ask = partial(_ask, bench, variant, tuner, {**request, "records": str(folder)})
        left = budget.trials - sum(_spent(ledger) for ledger in ledgers.values())
        ledgers[tuner], now, ends[tuner] = _searched(f"tuning {variant.form}, {tuner}", folder, tuner, ask, left, until)
        spent += now
    if not bench.tuned_by(variant):
        raise UserError(f"nothing was tuned: {ends[tuners[-1]]}. Give more of --minutes or --trials.")
    built = manifest.read(steps.build(bench, variant))
    return Tuned(variant.precision, bench.records(variant, tuners[0]).parent, ledgers, spent, ends, built["tuning"])


def _ask(
    bench: Workbench, variant: Variant, tuner: str, request: dict[str, Any], task: str | None, trials: int, model: str
) -> list[dict[str, Any]]:
    """One round in a child process, of no task (None) to look only; returns the tasks as they are now."""
    asked = {"tuner": tuner, **request, "task": task, "trials": trials, "cost_model": model}
    options = {"reuse": False, "timeout": ROUND_LIMIT, "threads": variant.threads}
    return bench.job("tune", asked, f"{tuner}-{variant.precision}-relay", **options)["result"]["tasks"]


def _searched(
    title: str, folder: Path, tuner: str, ask: Callable, trials: int, until: float
) -> tuple[dict[str, Any], int, str]:
    """Round after round until `trials` are spent, those of earlier runs included, or the clock reads `until`, or no
    round is worth its time. Returns the ledger, the trials of this run, and why it ended."""
    ledger = _read(folder / LEDGER)
    ledger["tasks"] = ask(None, 0, "random")
    if before := _spent(ledger):
        write_json(folder / LEDGER, ledger)  # a run that was killed may have measured more than it wrote here
    every = sum(task.get("candidates", math.inf) - 1 for task in ledger["tasks"])  # a search has no end
    trials = min(trials, every)
    end = "every schedule was measured" if trials == every else "the trials are spent"
    with Progress(title, max(trials, before), start=before) as progress:
        while (left := trials - _spent(ledger)) > 0:
            if time.monotonic() >= until:
                end = "the minutes are spent"
                break
            key = _next(tuner, ledger)
            if key is None:
                searches = f"no task promises to gain {WORTH:.1%} of the model's time"
                end = "the compiler dies of what is left" if tuner == "templates" else searches
                break
            began = time.monotonic()
            try:
                cost_model = "random" if key in ledger["crashes"] else "xgboost"
                ledger["tasks"] = ask(key, min(PER_ROUND[tuner], left), cost_model)
                if trials - _spent(ledger) == left:
                    raise JobError("found no schedule that was not measured before")
                if task := _task(ledger, key):
                    ledger["rounds"].setdefault(key, []).append(task["best_ms"])
            except JobError as error:
                ledger["crashes"].setdefault(key, []).append(str(error)[:200])
                ledger["tasks"] = ask(None, 0, "random")
            ledger["seconds"] += time.monotonic() - began
            ledger["curve"].append(_total(ledger))
            write_json(folder / LEDGER, ledger)
            progress.to(min(_spent(ledger), trials), _note(ledger))
    return ledger, _spent(ledger) - before, end


def _read(path: Path) -> dict[str, Any]:
    """`tasks`; `rounds`, the best time of a task after each; `crashes`, what killed a task's compiler; `seconds`;
    `curve`, the estimated milliseconds of the model after each round."""
    empty: dict[str, Any] = {"tasks": [], "rounds": {}, "crashes": {}, "seconds": 0.0, "curve": []}
    return empty | (json.loads(path.read_text()) if path.exists() else {})


def _next(tuner: str, ledger: dict[str, Any]) -> str | None:
    """The key of what to measure next; None when it is enough.

    Of templates the number of the next candidate of all convolutions that have it left. Else every task once, the
    heaviest first; then the one whose last rounds gained most.
    """
    if tuner == "templates":
        left = {number for task in ledger["tasks"] for number in task["left"]}
        return next((str(number) for number in sorted(left) if str(number) not in ledger["crashes"]), None)
    able = [task for task in ledger["tasks"] if len(ledger["crashes"].get(task["key"], ())) < MAX_CRASHES]
    if fresh := [task for task in able if not task["trials"]]:
        return max(fresh, key=lambda task: task["flops"] * task["weight"])["key"]
    gains = {task["key"]: _gain(ledger, task) for task in able}
    promising = [task["key"] for task in able if gains[task["key"]] > WORTH * _total(ledger)]
    return max(promising, key=lambda key: gains[key], default=None)


def _gain(ledger: dict[str, Any], task: dict[str, Any]) -> float:
    """Milliseconds of the model that a task's last two rounds gained; after one round, a tenth of what it takes."""
    if task["best_ms"] is None:
        return 0.0
    rounds = [best for best in ledger["rounds"].get(task["key"], []) if best]
    if len(rounds) < 2:
        return 0.1 * task["weight"] * task["best_ms"]
    return task["weight"] * (rounds[-min(3, len(rounds))] - rounds[-1])


def _task(ledger: dict[str, Any], key: str) -> dict[str, Any] | None:
    return next((task for task in ledger["tasks"] if task["key"] == key), None)


def _spent(ledger: dict[str, Any]) -> int:
    return sum(task["trials"] for task in ledger["tasks"])


def _total(ledger: dict[str, Any]) -> float:
    return sum(task["weight"] * task["best_ms"] for task in ledger["tasks"] if task["best_ms"])


def _note(ledger: dict[str, Any]) -> str:
    """The summed time of the tasks that were measured, which rises until all of them were, and its curve."""
    measured = sum(task["best_ms"] is not None for task in ledger["tasks"])
    curve = ledger["curve"][-CURVE:]
    low, span = min(curve), max(curve) - min(curve) or 1.0
    drawn = "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in curve)
    return f"{_total(ledger):.2f} ms in {measured} of {len(ledger['tasks'])} tasks {drawn}"
