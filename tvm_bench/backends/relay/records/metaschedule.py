"""MetaSchedule's records, applied to a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tvm
from tvm import meta_schedule as ms
from tvm.meta_schedule.utils import derived_object

from ....spec.schedule_source import FAILED, KEPT, TUNED
from ..._metaschedule import RECORDS, WORKLOADS
from ..schedules import int8_dot

# Eliminating common subexpressions binds vectors with `let`, which LLVM 21 refuses.
LOWERING = {"tir.disable_cse_tir": True}
CONFIG = {"relay.backend.use_meta_schedule": True, "relay.backend.tir_converter": "default", **LOWERING}
KERNEL = "tvmgen_default_"  # begins the name of every kernel in a library

for _kind in int8_dot.KINDS:
    int8_dot.register(_kind)  # schedules refer to these intrinsics by name, also those that are read from records


def database(folder: Path) -> ms.database.JSONDatabase:
    """The records in `folder`, read and written as JSON."""
    return ms.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))


def task_key(module: tvm.IRModule) -> str:
    """The structural hash of a task, as 16 hexadecimal digits."""
    return f"{tvm.ir.structural_hash(module) & (2**64 - 1):016x}"


@derived_object
class Records(ms.database.PyDatabase):
    """The best record of each task. `kernels` has the sources of the schedules of a build: TVM falls back silently.

    `ignored` are the names of kernels whose record is not used.
    """

    def __init__(self, folder: Path, ignored: frozenset[str] = frozenset()):
        super().__init__()
        self.stored = database(folder)
        self.ignored = ignored
        self.kernels: dict[str, dict[str, Any]] = {}

    def query_tuning_record(
        self, mod: tvm.IRModule, target: tvm.target.Target, workload_name: str | None = None
    ) -> ms.database.TuningRecord | None:
        record = self.stored.query_tuning_record(mod, target, workload_name)
        # TVM lowers a model twice and folds constants in between: kernels have their final names the second time only.
        name = str(workload_name)
        if name.startswith(KERNEL) and self.stored.has_workload(mod):
            kind = FAILED if record is None else KEPT if name in self.ignored else TUNED
            self.kernels[name] = {"kind": kind, "record": f"metaschedule: {task_key(mod)}"}
        return None if name in self.ignored else record

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
