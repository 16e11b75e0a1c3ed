"""AutoScheduler's records, applied to a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tvm
from tvm import auto_scheduler

from ....spec.schedule_source import TUNED

LAYOUT = "NHWC"
RECORDS = "records.json"


class Records(auto_scheduler.ApplyHistoryBest):
    """The best record of each task. `kernels` has those of a build that used one: TVM falls back silently."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.kernels: dict[str, dict[str, Any]] = {}

    def _query_inside(self, target: tvm.target.Target, workload_key: str, func_name: str) -> Any:
        state = super()._query_inside(target, workload_key, func_name)
        if state is not None:
            self.kernels[func_name] = {"kind": TUNED, "record": f"autoscheduler: {workload_key}"}
        return state
