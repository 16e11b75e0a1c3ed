"""MetaSchedule's records of the kernels of fused modules."""

from __future__ import annotations

from pathlib import Path

import tvm
from tvm import tirx
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.utils import shash2hex

from .._metaschedule import RECORDS, WORKLOADS
from . import dot_product
from .schedules import lanes

SYMBOL = "global_symbol"


def database(folder: Path) -> ms.database.JSONDatabase:
    """The records in `folder`, read and written as JSON."""
    return ms.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))


def workload(function: tirx.PrimFunc) -> tvm.IRModule:
    """A kernel as MetaSchedule stores it: without its name, so that equal kernels are one task."""
    return tvm.IRModule({"main": function.with_attr(SYMBOL, "main").with_attr("tirx.noalias", True)})


def task_key(task: tvm.IRModule) -> str:
    """The structural hash of a task, as 16 hexadecimal digits."""
    return shash2hex(task).removeprefix("0x")


class Records:
    """The records in `folder` that were made for `target`."""

    def __init__(self, folder: Path, target: tvm.target.Target):
        dot_product.instruction(lanes(target), "global")  # records refer to it by name
        self.stored, self.target = database(folder), target
        self.measured = {task_key(record.workload.mod) for record in self.stored.get_all_tuning_records()}

    def has(self, task: tvm.IRModule) -> bool:
        """Whether a schedule of the task was measured, or failed."""
        return task_key(task) in self.measured

    def scheduled(self, task: tvm.IRModule) -> tirx.PrimFunc | None:
        """The kernel with its fastest schedule; None if all failed."""
        schedule = self.stored.query_schedule(task, self.target, "main")
        return None if schedule is None else schedule.mod["main"].without_attr(SYMBOL)
