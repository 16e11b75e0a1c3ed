"""What one round of tuning is asked for, whichever tuner does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm

from . import frontend, passes, target


@dataclass(frozen=True)
class Round:
    """Measure up to `trials` new schedules of the task with the key `task` (None: only look at what there is).

    `source` is the model's file, for inputs of `shape`; `records` the tuner's folder; `reference` the library that was
    built without tuning. `cost_model` is `xgboost`, which learns but can abort, or `random`; `rpc` has `host`, `port`
    and `key` of a tracker to measure by, None measures here.
    """

    source: str
    shape: list[int]
    threads: int
    target_text: str | None
    records: str
    reference: str
    task: str | None = None
    trials: int = 0
    cost_model: str = "xgboost"
    rpc: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """Where the tuner's records are."""
        return Path(self.records)

    def opened(self, layout: str = "NCHW") -> tuple[tvm.target.Target, tvm.IRModule]:
        """The target, and the model as it is before scheduling, its convolutions in `layout`."""
        chosen = target.resolve(self.target_text, self.threads)
        module = passes.lower_quantization(frontend.relay_from_file(Path(self.source), tuple(self.shape)), chosen)
        return chosen, passes.convert_layouts(module, layout)
