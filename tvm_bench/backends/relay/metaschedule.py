"""Tuning by MetaSchedule (Shao et al. 2022, "Tensor Program Optimization with Probabilistic Programs", NeurIPS,
arXiv:2205.13603): FP32 and INT8, in the blocked layout that the default schedules use too.

One job measures one task for a few trials: what a compiler that aborts can cost is those trials and no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tvm
from tvm import meta_schedule as ms
from tvm.meta_schedule.builder.local_builder import default_build
from tvm.meta_schedule.utils import derived_object
from tvm.tir.analysis import estimate_tir_flops

from ...files import drop_cut_lines
from . import dot, frontend, passes, schedules, target

# Eliminating common subexpressions binds vectors with `let`, which LLVM 21 refuses.
LOWERING = {"tir.disable_cse_tir": True}
CONFIG = {"relay.backend.use_meta_schedule": True, "relay.backend.tir_converter": "default", **LOWERING}
WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"
# What a kernel of a build came from. `KEPT`: it has a record, but the default schedule is faster in the model.
RECORD, KEPT, DEFAULT = "record", "default, faster than its record", "default"
FAILED_S = 1e9  # MetaSchedule writes this as the time of a schedule that did not build or run
EVALUATOR = {"number": 3, "repeat": 1, "min_repeat_ms": 60}
# Schedules that compete for each one that is measured, and the most: MetaSchedule's own numbers, for large rounds.
POPULATION, MAX_POPULATION, MAX_UNMEASURED = 8, 512, 50
BUILD_TIMEOUT_S, RUN_TIMEOUT_S = 30.0, 10.0

for _kind in dot.KINDS:
    dot.register(_kind)  # schedules name them, those that are read from records too


def tune(
    source: str,
    shape: list[int],
    threads: int,
    target_text: str | None,
    records: str,
    task: str | None,
    trials: int,
    cost_model: str,
    rpc: dict[str, Any] | None,
) -> dict[str, Any]:
    """Measure up to `trials` new schedules of the task with the key `task` (None: only look); `records` is the folder.

    `cost_model` is `xgboost` or `random`; `rpc` has `host`, `port` and `key` of a tracker to measure by, None measures
    here. Returns every task with its weight (how often it occurs), operations, trials and failures so far, and the
    best time in milliseconds.
    """
    folder, chosen = Path(records), target.resolve(target_text, threads)
    for name in (WORKLOADS, RECORDS):
        drop_cut_lines(folder / name)
    module = passes.lower_quantization(frontend.relay_from_file(Path(source), tuple(shape)), chosen)
    module = passes.convert_layouts(module)
    with schedules.defaults():
        tasks = ms.relay_integration.extract_tasks(module, chosen, {}, pass_config=CONFIG)
    if task is not None:
        folder.mkdir(parents=True, exist_ok=True)
    for found in tasks:
        if _key(found) == task:
            _measure(found, folder, trials, cost_model, threads, rpc)
    return {"mcpu": chosen.mcpu, "tasks": _ledger(tasks, folder)}


def space(chosen: tvm.target.Target) -> ms.space_generator.SpaceGenerator:
    """MetaSchedule's rules for CPUs, and before its tiling one that uses the CPU's INT8 dot product."""
    rules = list(ms.schedule_rule.schedule_rule.create("llvm"))
    postprocessors = list(ms.postproc.postproc.create("llvm"))
    with chosen:
        kind = dot.best()
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


def _measure(
    found: ms.ExtractedTask,
    folder: Path,
    trials: int,
    cost_model: str,
    threads: int,
    rpc: dict[str, Any] | None,
) -> None:
    database = _database(folder)
    seen = sum(1 for _ in _times(database, found))
    search = ms.search_strategy.EvolutionarySearch(
        population_size=min(MAX_POPULATION, POPULATION * trials), init_min_unmeasured=min(MAX_UNMEASURED, trials)
    )
    contexts, weights = ms.relay_integration.extracted_tasks_to_tune_contexts(
        [found], str(folder / "logs"), space(found.target), search, num_tuning_cores=threads, seed=1 + seen
    )
    model = ms.cost_model.RandomModel() if cost_model == "random" else ms.cost_model.XGBModel(num_tuning_cores=threads)
    learned = folder / "logs" / f"{_key(found)}.model.tar"
    if cost_model != "random" and learned.exists():
        model.load(str(learned))
    evaluator = ms.runner.EvaluatorConfig(**EVALUATOR)
    runner = ms.runner.LocalRunner(timeout_sec=RUN_TIMEOUT_S, evaluator_config=evaluator)
    if rpc:
        config = ms.runner.RPCConfig(rpc["host"], rpc["port"], rpc["key"], session_timeout_sec=int(RUN_TIMEOUT_S))
        runner = ms.runner.RPCRunner(config, evaluator)
    ms.tune.tune_tasks(
        tasks=contexts,
        task_weights=weights,
        work_dir=str(folder / "logs"),
        max_trials_global=trials,
        num_trials_per_iter=trials,
        builder=ms.builder.LocalBuilder(max_workers=threads, timeout_sec=BUILD_TIMEOUT_S, f_build=_build),
        runner=runner,
        database=database,
        cost_model=model,
    )
    if cost_model != "random":
        model.save(str(learned))


def _build(module: tvm.IRModule, chosen: tvm.target.Target, parameters: Any) -> tvm.runtime.Module:
    with tvm.transform.PassContext(3, config=LOWERING):
        return default_build(module, chosen, parameters)


def _database(folder: Path) -> ms.database.JSONDatabase:
    return ms.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))


def _key(task: ms.ExtractedTask) -> str:
    return f"{tvm.ir.structural_hash(task.dispatched[0]) & (2**64 - 1):016x}"


def _times(database: ms.database.Database, task: ms.ExtractedTask) -> list[float]:
    """Seconds of every schedule of `task` that was measured, infinite for one that failed."""
    module = task.dispatched[0]
    if not database.has_workload(module):
        return []
    workload = database.commit_workload(module)
    return [
        min((float(s) for s in record.run_secs or ()), default=FAILED_S)
        for record in database.get_all_tuning_records()
        if record.workload.same_as(workload) or tvm.ir.structural_equal(record.workload.mod, workload.mod)
    ]


def _ledger(tasks: list[ms.ExtractedTask], folder: Path) -> list[dict[str, Any]]:
    times: dict[str, list[float]] = {}
    if (folder / RECORDS).exists():
        database = _database(folder)
        times = {_key(task): _times(database, task) for task in tasks}
    return [
        {
            "key": _key(task),
            "name": task.task_name,
            "weight": task.weight,
            "flops": float(estimate_tir_flops(task.dispatched[0])),
            "trials": len(found := times.get(_key(task), [])),
            "failed": sum(seconds >= FAILED_S for seconds in found),
            "best_ms": best * 1e3 if (best := min(found, default=FAILED_S)) < FAILED_S else None,
        }
        for task in tasks
    ]


@derived_object
class Records(ms.database.PyDatabase):
    """The best records by task, and which kernels of a build found one: TVM falls back in silence.

    `kept` names kernels that keep the default schedule although there is a record.
    """

    def __init__(self, folder: Path, kept: frozenset[str] = frozenset()):
        super().__init__()
        self.stored = _database(folder)
        self.kept = kept
        self.kernels: dict[str, str] = {}

    def query_tuning_record(
        self, mod: tvm.IRModule, target: tvm.target.Target, workload_name: str | None = None
    ) -> ms.database.TuningRecord | None:
        record = self.stored.query_tuning_record(mod, target, workload_name)
        name = str(workload_name)
        kept = any(kernel.endswith(name) for kernel in self.kept)
        self.kernels[name] = DEFAULT if record is None else KEPT if kept else RECORD
        return None if kept else record

    def has_workload(self, mod: tvm.IRModule) -> bool:
        return self.stored.has_workload(mod)

    def commit_workload(self, mod: tvm.IRModule) -> ms.database.Workload:
        return self.stored.commit_workload(mod)

    def get_top_k(self, workload: ms.database.Workload, top_k: int) -> list[ms.database.TuningRecord]:
        return self.stored.get_top_k(workload, top_k)

    def get_all_tuning_records(self) -> list[ms.database.TuningRecord]:
        return self.stored.get_all_tuning_records()

    def __len__(self) -> int:
        return len(self.stored)
