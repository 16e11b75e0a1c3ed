"""Tuning of Relax by MetaSchedule (Shao et al. 2022, "Tensor Program Optimization with Probabilistic Programs",
NeurIPS, arXiv:2205.13603): FP32 and INT8. Its tasks are the kernels of the fused module.

A tuning step measures one task for a few trials: a compiler crash loses at most those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.analysis import estimate_tir_flops

from ...host.files import drop_cut_lines
from ...spec.tensors import from_json
from ...spec.tuning_step import StepRequest
from .._metaschedule import EVALUATOR, FAILURES, import_without, learned, measured, sizes, write_failures
from .._rpc import servers
from . import compiler, dot_product, frontend, records, target
from .schedules import lanes

INTRINSICS, OTHER_DEVICES = "tvm.s_tir.tensor_intrin", ("arm_cpu", "cuda", "hexagon", "riscv_cpu", "rocm")
BUILD_TIMEOUT_S, RUN_TIMEOUT_S = 60.0, 20.0  # with the start of a worker process
STRUCTURE = "SSRSRS"  # the loops of a tiling for CPUs: S is one over results, R one over what is added up


def tune(**request: Any) -> dict[str, Any]:
    """Run one step, see `StepRequest`. Returns `tasks`: the rows of all tasks, see `Measured.row`."""
    step = StepRequest(**request)
    for name in (records.WORKLOADS, records.RECORDS, FAILURES):
        drop_cut_lines(step.folder / name)
    cpu = target.resolve(step.target_text, step.threads)
    model = compiler.fused(frontend.relax_from_file(Path(step.source), from_json(step.inputs)), cpu)
    tasks: dict[str, tvm.IRModule] = {}
    names: dict[str, str] = {}
    weights: Counter[str] = Counter()
    for name, kernel in model.kernels.items():
        task = records.workload(model.module[name])
        key = records.task_key(task)
        tasks[key] = task
        names.setdefault(key, kernel.get("convolution", name))
        weights[key] += kernel["calls"]
    for key in step.tasks:
        if key in tasks:
            step.folder.mkdir(parents=True, exist_ok=True)
            _measure(tasks[key], cpu, step)
    found = measured(step.folder, _trials(step.folder))
    return {
        "tasks": [
            found[key].row(key, names[key], weights[key], float(estimate_tir_flops(task)))
            for key, task in tasks.items()
        ]
    }


def space(cpu: tvm.target.Target) -> ms.space_generator.SpaceGenerator:
    """MetaSchedule's rules for CPUs, and before its tiling one that uses the CPU's INT8 dot product."""
    import_without(INTRINSICS, OTHER_DEVICES)
    rules = list(ms.schedule_rule.ScheduleRule.create("llvm"))
    postprocessors = list(ms.postproc.Postproc.create("llvm"))
    if "avx512vnni" in target.features(cpu):
        tiling = next(i for i, rule in enumerate(rules) if isinstance(rule, ms.schedule_rule.MultiLevelTiling))
        reuse = ms.schedule_rule.ReuseType(req="may", levels=[1, 2], scope="global")
        intrinsic = dot_product.instruction(lanes(cpu), "global")
        rules.insert(
            tiling, ms.schedule_rule.MultiLevelTilingWithIntrin(intrinsic, structure=STRUCTURE, reuse_write=reuse)
        )
        postprocessors.append(ms.postproc.RewriteTensorize(vectorize_init_loop=True))
    return ms.space_generator.PostOrderApply(
        sch_rules=rules, postprocs=postprocessors, mutator_probs=ms.mutator.Mutator.create("llvm")
    )


def _measure(task: tvm.IRModule, cpu: tvm.target.Target, step: StepRequest) -> None:
    database, trials, key = records.database(step.folder), step.trials, records.task_key(task)
    earlier = [record for record in database.get_all_tuning_records() if records.task_key(record.workload.mod) == key]
    search = ms.search_strategy.EvolutionarySearch(**sizes(trials))
    context = ms.TuneContext(
        task,
        target=cpu,
        space_generator=space(cpu),
        search_strategy=search,
        task_name=key,
        rand_state=1 + len(earlier),
        num_threads=step.threads,
    ).clone()
    model = ms.cost_model.RandomModel() if step.cost_model == "random" else learned(ms, context, earlier, step.threads)
    evaluator = ms.runner.EvaluatorConfig(**EVALUATOR)
    runner = ms.runner.LocalRunner(timeout_sec=RUN_TIMEOUT_S, evaluator_config=evaluator)
    if rpc := step.rpc:
        config = ms.runner.RPCConfig(rpc["host"], rpc["port"], rpc["key"], session_timeout_sec=int(RUN_TIMEOUT_S))
        runner = ms.runner.RPCRunner(config, evaluator, max_workers=servers(rpc))
    ms.tune.tune_tasks(
        tasks=[context],
        task_weights=[1.0],
        work_dir=str(step.folder / "logs"),
        max_trials_global=trials,
        num_trials_per_iter=trials,
        builder=ms.builder.LocalBuilder(max_workers=step.threads, timeout_sec=BUILD_TIMEOUT_S, f_build=_build),
        runner=runner,
        database=database,
        cost_model=model,
        measure_callbacks=[*ms.measure_callback.MeasureCallback.create("default"), _Failures(step.folder, key)],
    )


def _build(module: tvm.IRModule, cpu: tvm.target.Target, _: Any) -> tvm.runtime.Module:
    """MetaSchedule's own builder would import all intrinsics in each worker process."""
    return tvm.driver.build(module, target=cpu)


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
