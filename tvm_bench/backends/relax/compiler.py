"""Compiles a Relax module to machine code, with the schedules of this project or with tuning records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax, tirx

from ...host.cpu import VNNI
from ...spec.schedule_source import FAILED, KEPT, TUNED
from . import kernels
from .blocked import Blocked
from .records import Records, task_key, workload
from .schedules import lanes, scheduled
from .target import features

SCHEDULE = "metaschedule"  # of a kernel that has the schedule of a record


@dataclass(frozen=True)
class Fused:
    """A `module` whose `main` calls kernels that have no schedules yet, and the kernels' entries in the manifest."""

    module: tvm.IRModule
    kernels: dict[str, dict[str, Any]]

    def functions(self) -> dict[str, tirx.PrimFunc]:
        """The kernels by name."""
        pairs = self.module.functions_items()
        return {place.name_hint: function for place, function in pairs if isinstance(function, tirx.PrimFunc)}


@dataclass(frozen=True)
class Compiled:
    """A build: the module as it is `fused` and as it is `scheduled`, its `kernels`, and the `executable`."""

    fused: tvm.IRModule
    scheduled: tvm.IRModule
    kernels: dict[str, dict[str, Any]]
    executable: relax.VMExecutable


def compiled(module: tvm.IRModule, target: tvm.target.Target) -> Compiled:
    """Compile an imported module: blocked, fused and scheduled, then by TVM's own lowering."""
    return built(fused(module, target), target)


def fused(module: tvm.IRModule, target: tvm.target.Target) -> Fused:
    """An imported module, blocked and fused."""
    blocked = Blocked(lanes(target), not VNNI.isdisjoint(features(target)))
    steps = [
        blocked,
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        module = tvm.transform.Sequential(steps)(module)
    return Fused(module, kernels.of_module(module, blocked.layers))


def built(
    model: Fused, target: tvm.target.Target, records: Records | None = None, ignored: frozenset[str] = frozenset()
) -> Compiled:
    """Compile a fused module. A kernel with one of the `records` uses it, unless its name is `ignored`."""
    module, entries = model.module.clone(), dict(model.kernels)
    with target, tvm.transform.PassContext(opt_level=3):
        for name, function in model.functions().items():
            task, found = workload(function), None
            if records is not None and name in entries and records.has(task):
                best = records.scheduled(task)
                found = None if name in ignored else best
                kind = FAILED if best is None else KEPT if found is None else TUNED
                entries[name] = entries[name] | {"kind": kind, "record": f"{SCHEDULE}: {task_key(task)}"}
                if found is not None:
                    entries[name]["schedule"] = SCHEDULE
            module[module.get_global_var(name)] = scheduled(function, target) if found is None else found
        executable = relax.build(module, target)
    return Compiled(model.module, module, entries, executable)
