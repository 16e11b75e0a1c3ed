"""Tuning by AutoScheduler (Zheng et al. 2020, "Ansor", OSDI, arXiv:2006.06762): FP32, convolutions in NHWC.

A tuning step measures one task for a few trials: a compiler crash loses at most those.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from tvm import auto_scheduler

from ....host.files import drop_cut_lines
from ..._measured import Measured
from ..._rpc import servers
from ..records.autoscheduler import LAYOUT, RECORDS
from .request import TuningStep

# By the numbers of `auto_scheduler.measure.MeasureErrorNo`.
ERRORS = {1: "build", 2: "build", 3: "build", 4: "run", 6: "build time-out", 7: "run time-out"}
MIN_TRIALS = 2  # AutoScheduler measures nothing when asked for one
MAX_NUMBER = 3  # runs in a measurement
MIN_REPEAT_MS = 100
# Unmeasured schedules per measured one, and their maximum, which is AutoScheduler's default.
POPULATION, MAX_POPULATION = 128, 2048


def tune(**request: Any) -> dict[str, Any]:
    """Run one `TuningStep`. Returns `tasks`: the rows of all tasks, see `Measured.row`."""
    step = TuningStep(**request)
    path = step.folder / RECORDS
    drop_cut_lines(path)
    cpu, module = step.open_model(LAYOUT)
    tasks, weights = auto_scheduler.extract_tasks(module["main"], {}, cpu)
    for task in tasks:
        if task.workload_key in step.tasks:
            _measure(task, path, step)
    measured = _measured(path)
    return {
        "tasks": [
            measured[task.workload_key].row(task.workload_key, task.desc, weight, float(task.compute_dag.flop_ct))
            for task, weight in zip(tasks, weights, strict=True)
        ]
    }


def _measure(task: auto_scheduler.SearchTask, records: Path, step: TuningStep) -> None:
    trials, rpc = max(MIN_TRIALS, step.trials), step.rpc
    records.parent.mkdir(parents=True, exist_ok=True)
    model, ranks = auto_scheduler.RandomModel(), False
    search = {"evolutionary_search_population": min(MAX_POPULATION, POPULATION * trials)}
    known = []
    if records.exists():
        known.append(auto_scheduler.PreloadMeasuredStates(str(records)))
    if step.cost_model == "xgboost":
        model = auto_scheduler.XGBModel(seed=0)
        if records.exists():
            model.update_from_file(str(records))
        ranks = len(model.inputs) > model.num_warmup_sample  # before, its scores are random
    if not ranks:
        search["evolutionary_search_num_iters"] = 0  # no generation is better than the first
    policy = auto_scheduler.SketchPolicy(
        task, model, {**auto_scheduler.SketchPolicy.DEFAULT_PARAMS, **search}, 0, 0, init_search_callbacks=known
    )
    runner = {"number": MAX_NUMBER, "min_repeat_ms": MIN_REPEAT_MS, "enable_cpu_cache_flush": False}
    options = auto_scheduler.TuningOptions(
        num_measure_trials=trials,
        num_measures_per_round=trials,
        runner=auto_scheduler.RPCRunner(rpc["key"], rpc["host"], rpc["port"], n_parallel=servers(rpc), **runner)
        if rpc
        else auto_scheduler.LocalRunner(**runner),
        measure_callbacks=[auto_scheduler.RecordToFile(str(records))],
        verbose=0,
    )
    task.tune(options, search_policy=policy)


def _measured(records: Path) -> dict[str, Measured]:
    """The trials in the records, by the key of their task."""
    measured: dict[str, Measured] = defaultdict(Measured)
    if records.exists():
        for tried, result in auto_scheduler.RecordReader(str(records)):
            task = measured[tried.task.workload_key]
            if result.error_no:
                task.failed[ERRORS.get(result.error_no, "other")] += 1
            task.add(None if result.error_no else float(np.mean([cost.value for cost in result.costs])) * 1e3)
    return measured
