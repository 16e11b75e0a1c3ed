"""Tuning by AutoScheduler (Zheng et al. 2020, "Ansor", OSDI, arXiv:2006.06762): FP32, convolutions in NHWC.

One job measures one task for a few trials: what a compiler that aborts can cost is those trials and no more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from tvm import auto_scheduler

from ....host.files import drop_cut_lines
from ..records.autoscheduler import LAYOUT, RECORDS
from .request import Round

# Of what `auto_scheduler.measure.MeasureErrorNo` tells apart.
ERRORS = {1: "build", 2: "build", 3: "build", 4: "run", 6: "build time-out", 7: "run time-out"}
LEAST = 2  # of a single trial, AutoScheduler measures none
MAX_NUMBER = 3  # runs in a measurement
MIN_REPEAT_MS = 100
POPULATION, MAX_POPULATION = 128, 2048  # schedules that compete for each one measured, and AutoScheduler's own number


def tune(**request: Any) -> dict[str, Any]:
    """One `Round`. Returns every task with its weight (how often it occurs), FLOPs, trials so far, how many `failed` of
    each kind, and the best time in milliseconds."""
    asked = Round(**request)
    path = asked.folder / RECORDS
    drop_cut_lines(path)
    chosen, module = asked.opened(LAYOUT)
    tasks, weights = auto_scheduler.extract_tasks(module["main"], {}, chosen)
    for found in tasks:
        if found.workload_key == asked.task:
            _measure(found, path, asked)
    return {"tasks": _ledger(tasks, weights, path)}


def _measure(task: auto_scheduler.SearchTask, records: Path, asked: Round) -> None:
    trials, rpc = max(LEAST, asked.trials), asked.rpc
    records.parent.mkdir(parents=True, exist_ok=True)
    model = auto_scheduler.RandomModel()
    known = []
    if records.exists():
        known.append(auto_scheduler.PreloadMeasuredStates(str(records)))
    if asked.cost_model == "xgboost":
        model = auto_scheduler.XGBModel(seed=0)
        if records.exists():
            model.update_from_file(str(records))
    population = {"evolutionary_search_population": min(MAX_POPULATION, POPULATION * trials)}
    policy = auto_scheduler.SketchPolicy(
        task, model, {**auto_scheduler.SketchPolicy.DEFAULT_PARAMS, **population}, 0, 0, init_search_callbacks=known
    )
    terms = {"number": MAX_NUMBER, "min_repeat_ms": MIN_REPEAT_MS, "enable_cpu_cache_flush": False}
    options = auto_scheduler.TuningOptions(
        num_measure_trials=trials,
        num_measures_per_round=trials,
        runner=auto_scheduler.RPCRunner(rpc["key"], rpc["host"], rpc["port"], n_parallel=asked.servers(), **terms)
        if rpc
        else auto_scheduler.LocalRunner(**terms),
        measure_callbacks=[auto_scheduler.RecordToFile(str(records))],
        verbose=0,
    )
    task.tune(options, search_policy=policy)


def _ledger(tasks: list[auto_scheduler.SearchTask], weights: list[int], records: Path) -> list[dict[str, Any]]:
    trials: Counter[str] = Counter()
    failed: dict[str, Counter[str]] = defaultdict(Counter)
    best: dict[str, float] = {}
    if records.exists():
        for given, result in auto_scheduler.RecordReader(str(records)):
            key = given.task.workload_key
            trials[key] += 1
            if result.error_no:
                failed[key][ERRORS.get(result.error_no, "other")] += 1
            else:
                best[key] = min(best.get(key, np.inf), float(np.mean([cost.value for cost in result.costs])) * 1e3)
    return [
        {
            "key": task.workload_key,
            "name": task.desc,
            "weight": weight,
            "flops": float(task.compute_dag.flop_ct),
            "trials": trials[task.workload_key],
            "failed": failed[task.workload_key],
            "best_ms": best.get(task.workload_key),
        }
        for task, weight in zip(tasks, weights, strict=True)
    ]
