"""Tuning by MetaSchedule (Shao et al. 2022, "Tensor Program Optimization with Probabilistic Programs", NeurIPS,
arXiv:2205.13603): FP32 and INT8, in the blocked layout that the default schedules use too.

A tuning step measures one task for a few trials: a compiler crash loses at most those.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tvm
from tvm import meta_schedule as ms
from tvm.meta_schedule.builder.local_builder import default_build
from tvm.meta_schedule.utils import derived_object
from tvm.tir.analysis import estimate_tir_flops

from ....host.files import drop_cut_lines
from ..._metaschedule import EVALUATOR, FAILURES, import_without, learned, measured, sizes, write_failures
from ..._rpc import servers
from .. import schedules
from ..records import metaschedule as records
from ..records import templates
from ..schedules import int8_dot
from .request import TuningStep

INTRINSICS, OTHER_DEVICES = "tvm.tir.tensor_intrin", ("arm_cpu", "cuda", "hexagon", "rocm")
BUILD_TIMEOUT_S, RUN_TIMEOUT_S = 30.0, 10.0


def tune(**request: Any) -> dict[str, Any]:
    """Run one `TuningStep`. Returns `tasks`: the rows of all tasks, see `Measured.row`."""
    step = TuningStep(**request)
    for name in (records.WORKLOADS, records.RECORDS, FAILURES):
        drop_cut_lines(step.folder / name)
    cpu, module = step.open_model()
    with schedules.using(templates.best(step.folder.with_name("templates"))):
        tasks = {records.task_key(task.dispatched[0]): task for task in _extracted(module, cpu)}
    for key in step.tasks:
        if key in tasks:
            step.folder.mkdir(parents=True, exist_ok=True)
            _measure(tasks[key], step)
    found = measured(step.folder, _trials(step.folder))
    return {
        "tasks": [
            found[key].row(key, task.task_name, task.weight, float(estimate_tir_flops(task.dispatched[0])))
            for key, task in tasks.items()
        ]
    }


def space(cpu: tvm.target.Target) -> ms.space_generator.SpaceGenerator:
    """MetaSchedule's rules for CPUs, and before its tiling one that uses the CPU's INT8 dot product."""
    import_without(INTRINSICS, OTHER_DEVICES)
    rules = list(ms.schedule_rule.schedule_rule.create("llvm"))
    postprocessors = list(ms.postproc.postproc.create("llvm"))
    with cpu:
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


def _extracted(module: tvm.IRModule, cpu: tvm.target.Target) -> list[ms.ExtractedTask]:
    return ms.relay_integration.extract_tasks(module, cpu, {}, pass_config=records.CONFIG)


def _measure(task: ms.ExtractedTask, step: TuningStep) -> None:
    database, trials = records.database(step.folder), step.trials
    key, logs = records.task_key(task.dispatched[0]), str(step.folder / "logs")
    earlier = [record for record in database.get_all_tuning_records() if records.task_key(record.workload.mod) == key]
    search = ms.search_strategy.EvolutionarySearch(**sizes(trials))
    contexts, weights = ms.relay_integration.extracted_tasks_to_tune_contexts(
        [task], logs, space(task.target), search, num_tuning_cores=step.threads, seed=1 + len(earlier)
    )
    model = (
        ms.cost_model.RandomModel() if step.cost_model == "random" else learned(ms, contexts[0], earlier, step.threads)
    )
    evaluator = ms.runner.EvaluatorConfig(**EVALUATOR)
    runner = ms.runner.LocalRunner(timeout_sec=RUN_TIMEOUT_S, evaluator_config=evaluator)
    if rpc := step.rpc:
        config = ms.runner.RPCConfig(rpc["host"], rpc["port"], rpc["key"], session_timeout_sec=int(RUN_TIMEOUT_S))
        runner = ms.runner.RPCRunner(config, evaluator, max_workers=servers(rpc))
    ms.tune.tune_tasks(
        tasks=contexts,
        task_weights=weights,
        work_dir=logs,
        max_trials_global=trials,
        num_trials_per_iter=trials,
        builder=ms.builder.LocalBuilder(max_workers=step.threads, timeout_sec=BUILD_TIMEOUT_S, f_build=_build),
        runner=runner,
        database=database,
        cost_model=model,
        measure_callbacks=[*ms.measure_callback.MeasureCallback.create("default"), _Failures(step.folder, key)],
    )


def _build(module: tvm.IRModule, cpu: tvm.target.Target, parameters: Any) -> tvm.runtime.Module:
    with tvm.transform.PassContext(3, config=records.LOWERING):
        return default_build(module, cpu, parameters)


@derived_object
class _Failures(ms.measure_callback.PyMeasureCallback):
    """Records why schedules of the task `key` failed."""

    def __init__(self, folder: Path, key: str):
        super().__init__()
        self.folder, self.key = folder, key

    def apply(
        self,
        task_scheduler: ms.TaskScheduler,
        task_id: int,
        measure_candidates: list[ms.MeasureCandidate],
        builder_results: list[ms.builder.BuilderResult],
        runner_results: list[ms.runner.RunnerResult],
    ) -> None:
        errors = [(b.error_msg, r.error_msg) for b, r in zip(builder_results, runner_results, strict=True)]
        write_failures(self.folder, self.key, errors)


def _trials(folder: Path) -> Iterator[tuple[str, Any]]:
    """The key of its task, and the seconds of its runs, for each record."""
    if (folder / records.RECORDS).exists():
        for record in records.database(folder).get_all_tuning_records():
            yield records.task_key(record.workload.mod), record.run_secs
