"""Step 6: a Relay module becomes machine code, by default schedules or by tuning records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor
from tvm.contrib.debugger import debug_executor

from . import autoscheduler, metaschedule, passes, schedules
from .metaschedule import DEFAULT, KEPT, RECORD

PROFILES, ROUNDS, RUNS = 15, 10, 10


@dataclass(frozen=True)
class Compiled:
    """`module` as laid out before `relay.build`, `fused` as it was fused, and what each kernel came from."""

    module: tvm.IRModule
    fused: tvm.IRModule
    factory: Any
    kernels: dict[str, str]


def compiled(
    module: tvm.IRModule,
    chosen: tvm.target.Target,
    how: str,
    records: Path | None = None,
    kept: frozenset[str] = frozenset(),
) -> Compiled:
    """Compile a lowered module; `how` is `stock` (TVM's schedules), `default` (with the project's) or a tuner's name.

    `kept` names kernels that keep their default schedule though `records` has one.
    """
    module = passes.convert_layouts(module, autoscheduler.LAYOUT if how == "autoscheduler" else "NCHW")
    fused = _Fused()
    with (
        _schedules(how, chosen, records, kept) as (config, kernels),
        tvm.transform.PassContext(3, config=config, instruments=[fused]),
    ):
        factory = relay.build(module, target=chosen)
    assert fused.module, "relay.build always fuses"
    names = [str(name) for name in factory.function_metadata if "fused" in str(name)]
    found = {name: next((k for key, k in kernels.items() if name.endswith(key)), DEFAULT) for name in names}
    return Compiled(module, fused.module, factory, found)


def best(module: tvm.IRModule, chosen: tvm.target.Target, records: dict[str, str]) -> tuple[Compiled, dict[str, Any]]:
    """The fastest of the default schedules and what each tuner's `records` make of the model, measured as a whole.

    A kernel of MetaSchedule keeps its default schedule where that is faster in its place in the model, with its
    neighbours' data in the caches. Returns the build, and what was measured: milliseconds of each candidate, which one
    was chosen, and the share of the model's time that is covered by records.
    """
    candidates = {"default": compiled(module, chosen, "default")}
    if folder := records.get("metaschedule"):
        every = compiled(module, chosen, "metaschedule", Path(folder))
        default_ms, tuned_ms = profile(candidates["default"]), profile(every)
        kept = {n for n, kind in every.kernels.items() if kind == RECORD and default_ms.get(n, np.inf) < tuned_ms[n]}
        mixed = compiled(module, chosen, "metaschedule", Path(folder), frozenset(kept)) if kept else every
        candidates["metaschedule"] = mixed
        beaten = {name: KEPT if kind == RECORD else kind for name, kind in every.kernels.items()}
        candidates["default"] = replace(candidates["default"], kernels=beaten)
    if folder := records.get("autoscheduler"):
        candidates["autoscheduler"] = compiled(module, chosen, "autoscheduler", Path(folder))
    measured = latencies({name: candidate.factory for name, candidate in candidates.items()})
    name = min(measured, key=lambda each: measured[each])
    shares = coverage(candidates[name])
    return candidates[name], {"candidates_ms": measured, "chosen": name, "coverage": shares}


def profile(build: Compiled) -> dict[str, float]:
    """Milliseconds of each kernel in its place in the model, by name: medians over several runs."""
    executor = debug_executor.create(build.factory.get_graph_json(), build.factory.get_lib(), tvm.cpu())
    executor.set_input(**build.factory.get_params())
    found = defaultdict(list)
    for _ in range(PROFILES):
        total: dict[str, float] = defaultdict(float)
        for call in executor.profile().calls:
            total[str(call["Name"])] += call["Duration (us)"].microseconds / 1e3
        for name, milliseconds in total.items():
            found[name].append(milliseconds)
    return {name: float(np.median(values)) for name, values in found.items()}


def latencies(factories: dict[str, Any]) -> dict[str, float]:
    """Median milliseconds of whole models, measured in turns."""
    device = tvm.cpu()
    executors = {name: graph_executor.GraphModule(factory["default"](device)) for name, factory in factories.items()}
    found: dict[str, list[float]] = {name: [] for name in factories}
    for _ in range(ROUNDS):
        for name, executor in executors.items():
            clock = executor.module.time_evaluator("run", device, number=1, repeat=RUNS)
            found[name] += [seconds * 1e3 for seconds in clock().results]
    return {name: float(np.median(values)) for name, values in found.items()}


def coverage(build: Compiled) -> dict[str, float]:
    """The share of the model's time, 0 to 1, by what its kernels came from."""
    times = profile(build)
    shares = dict.fromkeys((RECORD, KEPT, DEFAULT), 0.0)
    for name, milliseconds in times.items():
        shares[build.kernels.get(name, DEFAULT)] += milliseconds / sum(times.values())
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
def _schedules(
    how: str, chosen: tvm.target.Target, records: Path | None, kept: frozenset[str]
) -> Iterator[tuple[dict, dict[str, str]]]:
    """The configuration of `relay.build`, and what each kernel came from, filled in while it builds."""
    if how in ("stock", "default"):
        with nullcontext() if how == "stock" else schedules.defaults():
            yield {}, {}
        return
    assert records, "a tuner's build needs its records"
    if how == "autoscheduler":
        with autoscheduler.Records(records / autoscheduler.RECORDS) as found:
            yield {"relay.backend.use_auto_scheduler": True}, found.kernels
        return
    found = metaschedule.Records(records, kept)
    with schedules.defaults(), chosen, found:
        yield metaschedule.CONFIG, found.kernels


@tvm.instrument.pass_instrument
class _Fused:
    """Keeps the module as the last fusion of `relay.build` left it: optimizing again would double the build."""

    def __init__(self):
        self.module: tvm.IRModule | None = None

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        # Constant folding fuses small modules of its own before; the model is the last.
        if info.name == "FuseOps":
            self.module = module
