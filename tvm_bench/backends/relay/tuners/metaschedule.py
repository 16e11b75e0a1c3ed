"""Tuning by MetaSchedule (Shao et al. 2022, "Tensor Program Optimization with Probabilistic Programs", NeurIPS,
arXiv:2205.13603): FP32 and INT8, in the blocked layout that the default schedules use too.

One job measures one task for a few trials: what a compiler that aborts can cost is those trials and no more.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import tvm
from tvm import meta_schedule as ms
from tvm.meta_schedule.builder.local_builder import default_build
from tvm.meta_schedule.utils import derived_object
from tvm.tir.analysis import estimate_tir_flops

from ....host.files import drop_cut_lines
from .. import schedules
from ..records import metaschedule as records
from ..records import templates
from ..schedules import int8_dot
from .request import Round

FAILURES = "failures.jsonl"  # which MetaSchedule's own records do not tell apart
FAILED_S = 1e9  # MetaSchedule writes this as the time of a schedule that did not build or run
EVALUATOR = {"number": 3, "repeat": 1, "min_repeat_ms": 60}
# Schedules that compete for each one that is measured, and the most: MetaSchedule's own numbers, for large rounds.
POPULATION, MAX_POPULATION, MAX_UNMEASURED = 8, 512, 50
BUILD_TIMEOUT_S, RUN_TIMEOUT_S = 30.0, 10.0


def tune(**request: Any) -> dict[str, Any]:
    """One `Round`. Returns every task with its weight (how often it occurs), operations, trials so far, how many
    `failed` of each kind, and the best time in milliseconds."""
    asked = Round(**request)
    for name in (records.WORKLOADS, records.RECORDS, FAILURES):
        drop_cut_lines(asked.folder / name)
    chosen, module = asked.opened()
    with schedules.using(templates.best(asked.folder.with_name("templates"))):
        tasks = {records.task_key(found.dispatched[0]): found for found in _extracted(module, chosen)}
    if asked.task in tasks:
        asked.folder.mkdir(parents=True, exist_ok=True)
        _measure(tasks[asked.task], asked)
    return {"tasks": _ledger(tasks, asked.folder)}


def space(chosen: tvm.target.Target) -> ms.space_generator.SpaceGenerator:
    """MetaSchedule's rules for CPUs, and before its tiling one that uses the CPU's INT8 dot product."""
    rules = list(ms.schedule_rule.schedule_rule.create("llvm"))
    postprocessors = list(ms.postproc.postproc.create("llvm"))
    with chosen:
        kind = int8_dot.best()
    if kind:
        tiling = next(i for i, rule in enumerate(rules) if isinstance(rule, ms.schedule_rule.MultiLevelTiling))
        reuse = ms.schedule_rule.ReuseType(req="may", levels=[1, 2], scope="global")
        rules.insert(
            tiling,
            ms.schedule_rule.MultiLevelTilingWithIntrin(
                kind.name, structure="SSRSRS", max_innermost_factor=64, reuse_write=reuse
            ),
        )
        postprocessors.append(ms.postproc.RewriteTensorize(vectorize_init_loop=True))
    return ms.space_generator.PostOrderApply(
        sch_rules=rules, postprocs=postprocessors, mutator_probs=ms.mutator.mutator.create("llvm")
    )


def _extracted(module: tvm.IRModule, chosen: tvm.target.Target) -> list[ms.ExtractedTask]:
    return ms.relay_integration.extract_tasks(module, chosen, {}, pass_config=records.CONFIG)


def _measure(found: ms.ExtractedTask, asked: Round) -> None:
    database, trials = records.database(asked.folder), asked.trials
    key, logs = records.task_key(found.dispatched[0]), asked.folder / "logs"
    seen = len(_times(database)[key])
    search = ms.search_strategy.EvolutionarySearch(
        population_size=min(MAX_POPULATION, POPULATION * trials), init_min_unmeasured=min(MAX_UNMEASURED, trials)
    )
    contexts, weights = ms.relay_integration.extracted_tasks_to_tune_contexts(
        [found], str(logs), space(found.target), search, num_tuning_cores=asked.threads, seed=1 + seen
    )
    learns, learned = asked.cost_model != "random", logs / f"{key}.model.tar"
    model = ms.cost_model.XGBModel(num_tuning_cores=asked.threads) if learns else ms.cost_model.RandomModel()
    if learns and learned.exists():
        model.load(str(learned))
    evaluator = ms.runner.EvaluatorConfig(**EVALUATOR)
    runner = ms.runner.LocalRunner(timeout_sec=RUN_TIMEOUT_S, evaluator_config=evaluator)
    if rpc := asked.rpc:
        config = ms.runner.RPCConfig(rpc["host"], rpc["port"], rpc["key"], session_timeout_sec=int(RUN_TIMEOUT_S))
        runner = ms.runner.RPCRunner(config, evaluator, max_workers=asked.servers())
    ms.tune.tune_tasks(
        tasks=contexts,
        task_weights=weights,
        work_dir=str(logs),
        max_trials_global=trials,
        num_trials_per_iter=trials,
        builder=ms.builder.LocalBuilder(max_workers=asked.threads, timeout_sec=BUILD_TIMEOUT_S, f_build=_build),
        runner=runner,
        database=database,
        cost_model=model,
        measure_callbacks=[*ms.measure_callback.MeasureCallback.create("default"), _Failures(asked.folder, key)],
    )
    if learns:
        model.save(str(learned))


def _build(module: tvm.IRModule, chosen: tvm.target.Target, parameters: Any) -> tvm.runtime.Module:
    with tvm.transform.PassContext(3, config=records.LOWERING):
        return default_build(module, chosen, parameters)


def _times(database: ms.database.Database) -> dict[str, list[float]]:
    """Seconds of every schedule that was measured, by the key of its task; infinite for one that failed."""
    found: dict[str, list[float]] = defaultdict(list)
    for record in database.get_all_tuning_records():
        seconds = min((float(s) for s in record.run_secs or ()), default=FAILED_S)
        found[records.task_key(record.workload.mod)].append(seconds)
    return found


@derived_object
class _Failures(ms.measure_callback.PyMeasureCallback):
    """Writes down why schedules of the task `key` failed."""

    def __init__(self, folder: Path, key: str):
        super().__init__()
        self.path = folder / FAILURES
        self.key = key

    def apply(
        self,
        task_scheduler: ms.TaskScheduler,
        task_id: int,
        measure_candidates: list[ms.MeasureCandidate],
        builder_results: list[ms.builder.BuilderResult],
        runner_results: list[ms.runner.RunnerResult],
    ) -> None:
        with self.path.open("a") as file:
            for built, ran in zip(builder_results, runner_results, strict=True):
                if message := str(built.error_msg or ran.error_msg or ""):
                    kind = ("build" if built.error_msg else "run") + " time-out" * ("timeout" in message.lower())
                    file.write(json.dumps({"key": self.key, "kind": kind, "message": message[-500:]}) + "\n")


def _failed(folder: Path) -> dict[str, Counter[str]]:
    """By the key of a task, how many of its schedules failed of which kind."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    if (folder / FAILURES).exists():
        for line in map(json.loads, (folder / FAILURES).read_text().splitlines()):
            found[line["key"]][line["kind"]] += 1
    return found


def _ledger(tasks: dict[str, ms.ExtractedTask], folder: Path) -> list[dict[str, Any]]:
    times = _times(records.database(folder)) if (folder / records.RECORDS).exists() else {}
    failed = _failed(folder)
    return [
        {
            "key": key,
            "name": task.task_name,
            "weight": task.weight,
            "flops": float(estimate_tir_flops(task.dispatched[0])),
            "trials": len(found := times.get(key, [])),
            "failed": failed.get(key, {}),
            "best_ms": best * 1e3 if (best := min(found, default=FAILED_S)) < FAILED_S else None,
        }
        for key, task in tasks.items()
    ]
