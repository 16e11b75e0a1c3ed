"""Step 6: a Relay module becomes machine code, by default schedules or by what tuning found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from ...spec.schedule_source import DEFAULT, FAILED, KEPT, TUNED
from . import passes, profile, schedules
from .records import autoscheduler, metaschedule
from .records import templates as template_records
from .schedules import conv_workload

ROUNDS, RUNS = 10, 10


@dataclass(frozen=True)
class Schedules:
    """Where a build takes its schedules from.

    `name` is `stock` (TVM's own), `default` (with the project's) or a tuner's. `choices` are schedules of this
    project by `str(Convolution)`; `records` is the folder of the tuner `name`, and `kept` are kernels that ignore it.
    """

    name: str = "default"
    choices: Mapping[str, str] = field(default_factory=dict)
    records: Path | None = None
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Compiled:
    """`module` as laid out before `relay.build`, `fused` as it was fused, and each kernel's origin.

    `kernels` is by name: `kind` and `record` say what the schedule came from; kernels with a convolution also have
    `convolution`, `schedule` (of this project), its `candidates` and `operations`.
    """

    module: tvm.IRModule
    fused: tvm.IRModule
    factory: Any
    kernels: dict[str, dict[str, Any]]


def compiled(module: tvm.IRModule, chosen: tvm.target.Target, plan: Schedules) -> Compiled:
    """Compile a lowered module by `plan`."""
    module = passes.convert_layouts(module, autoscheduler.LAYOUT if plan.name == "autoscheduler" else "NCHW")
    fused = _Fused()
    with (
        _schedules(plan, chosen) as (config, found),
        tvm.transform.PassContext(3, config=config, instruments=[fused]),
    ):
        factory = relay.build(module, target=chosen)
    assert fused.module, "relay.build always fuses"
    with chosen:
        return Compiled(module, fused.module, factory, _kernels(factory, plan, found))


def best(
    module: tvm.IRModule, chosen: tvm.target.Target, records: dict[str, Path], default: tvm.runtime.Module
) -> tuple[Compiled, dict[str, Any]]:
    """The fastest of what each tuner's `records` make of the model and the library with the `default` schedules.

    They are measured as a whole. A kernel of MetaSchedule keeps its default schedule where that is faster in its place
    in the model, with its neighbours' data in the caches. Returns the build, and what was measured: milliseconds of
    each candidate, and in their place of kernels by MetaSchedule's record (without it, with it); which candidate was
    chosen, and the share of the model's time by what its kernels came from.
    """
    candidates: dict[str, Compiled] = {}
    found: dict[str, str] = {}
    in_place: dict[str, list[float]] = {}
    if folder := records.get("templates"):
        found = template_records.best(folder)
        candidates["templates"] = compiled(module, chosen, Schedules("templates", found))
    if folder := records.get("metaschedule"):
        every = compiled(module, chosen, Schedules("metaschedule", found, folder))
        before = candidates["templates"].factory.module if "templates" in candidates else default
        theirs, ours = profile.kernels(every.factory.module, before)
        tried = {n: kernel for n, kernel in every.kernels.items() if kernel.get("schedule") == "metaschedule"}
        for n, kernel in tried.items():
            in_place[kernel["record"]] = [times[n] / kernel["calls"] for times in (ours, theirs)]
        kept = {n for n in tried if ours[n] < theirs[n]}
        candidates["metaschedule"] = compiled(module, chosen, Schedules("metaschedule", found, folder, frozenset(kept)))
    if folder := records.get("autoscheduler"):
        candidates["autoscheduler"] = compiled(module, chosen, Schedules("autoscheduler", records=folder))
    measured = latencies({"default": default, **{name: each.factory.module for name, each in candidates.items()}})
    name = min(measured, key=lambda each: measured[each])
    if name == "default":
        candidates[name] = compiled(module, chosen, Schedules())
    tuned = {_subject(*item) for build in candidates.values() for item in build.kernels.items() if item[1]["record"]}
    for item in candidates[name].kernels.items():
        if item[1]["kind"] == DEFAULT and _subject(*item) in tuned:
            item[1]["kind"] = KEPT
    measurements = {"candidates_ms": measured, "in_place_ms": in_place, "chosen": name}
    return candidates[name], {**measurements, "coverage": coverage(candidates[name])}


def _subject(name: str, kernel: dict[str, Any]) -> str:
    """What a kernel computes: its name differs between candidates where layout or algorithm does."""
    return kernel.get("convolution", name)


def latencies(libraries: dict[str, tvm.runtime.Module]) -> dict[str, float]:
    """Median milliseconds of whole models, measured in turns."""
    device = tvm.cpu()
    executors = {name: graph_executor.GraphModule(each["default"](device)) for name, each in libraries.items()}
    found: dict[str, list[float]] = {name: [] for name in libraries}
    for _ in range(ROUNDS):
        for name, executor in executors.items():
            clock = executor.module.time_evaluator("run", device, number=1, repeat=RUNS)
            found[name] += [seconds * 1e3 for seconds in clock().results]
    return {name: float(np.median(values)) for name, values in found.items()}


def coverage(build: Compiled) -> dict[str, float]:
    """The share of the model's time, 0 to 1, by what its kernels came from."""
    (times,) = profile.kernels(build.factory.module)
    shares = dict.fromkeys((TUNED, KEPT, FAILED, DEFAULT), 0.0)
    for name, milliseconds in times.items():
        kind = build.kernels[name]["kind"] if name in build.kernels else DEFAULT
        shares[kind] += milliseconds / sum(times.values())
    return shares


def memory_plan(factory: Any) -> dict[str, float]:
    """TVM's static plan in MB of 10**6 bytes: `weights` and `workspace`.

    The second is input, output, what lies between the kernels, and what the greediest kernel allocates for itself.
    """
    found = dict(factory.function_metadata.items())
    main = found.pop("__tvm_main__")
    between = _total(main.workspace_sizes) + _total(main.io_sizes)
    inside = max((_total(kernel.workspace_sizes) for kernel in found.values()), default=0)
    return {"weights": _total(main.constant_sizes) / 1e6, "workspace": (between + inside) / 1e6}


def _total(sizes: Any) -> int:
    return sum(int(size) for size in sizes.values())


@contextmanager
def _schedules(plan: Schedules, chosen: tvm.target.Target) -> Iterator[tuple[dict, dict[str, dict[str, Any]]]]:
    """The configuration of `relay.build`, and each kernel's record, filled in while it builds."""
    if not plan.records:
        with nullcontext() if plan.name == "stock" else schedules.using(plan.choices):
            yield {}, {}
    elif plan.name == "autoscheduler":
        with autoscheduler.Records(plan.records / autoscheduler.RECORDS) as found:
            yield {"relay.backend.use_auto_scheduler": True}, found.kernels
    else:
        found = metaschedule.Records(plan.records, plan.kept)
        with schedules.using(plan.choices), chosen, found:
            yield metaschedule.CONFIG, found.kernels


def _kernels(factory: Any, plan: Schedules, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    nodes = json.loads(factory.get_graph_json())["nodes"]
    calls = Counter(node["attrs"]["func_name"] for node in nodes if node["op"] == "tvm_op")
    convolutions = conv_workload.in_kernels(factory)
    kernels = {}
    for name in (str(name) for name in factory.function_metadata if "fused" in str(name)):
        kernel: dict[str, Any] = {"kind": DEFAULT, "record": None, "calls": calls[name]}
        if convolution := convolutions.get(name):
            key, candidates = str(convolution), schedules.candidates(convolution)
            tvms = plan.name in ("stock", "autoscheduler")
            used = schedules.TVM if tvms else plan.choices.get(key, candidates[0])
            kernel |= {"convolution": key, "schedule": used, "candidates": candidates}
            kernel["operations"] = convolution.operations
            if key in plan.choices:
                kernel |= {"kind": KEPT if used == candidates[0] else TUNED, "record": f"templates: {used}"}
        if (record := found.get(name)) and (record["kind"] == TUNED or kernel["kind"] == DEFAULT):
            kernel |= record
            if record["kind"] == TUNED:
                kernel["schedule"] = plan.name
        kernels[name] = kernel
    return kernels


@tvm.instrument.pass_instrument
class _Fused:
    """Keeps the module as the last fusion of `relay.build` left it: optimizing again would double the build."""

    def __init__(self):
        self.module: tvm.IRModule | None = None

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        # Constant folding fuses small modules of its own before; the model is the last.
        if info.name == "FuseOps":
            self.module = module
