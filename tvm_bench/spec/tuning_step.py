"""The request of one tuning step, for all tuners. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StepRequest:
    """Measure up to `trials` new schedules of the tasks with the keys `tasks`; without tasks, only read the records.

    `source` is the model's file, `inputs` its inputs as dictionaries, `records` the tuner's folder and
    `reference` the library that was built without tuning. `candidate` is the index of the candidate that templates
    measure for each task. `cost_model` is `xgboost`, which learns but can abort, or `random`. `rpc` has the `host`,
    `port` and `key` of a tracker; None: measure on this machine.
    """

    source: str
    inputs: list[dict[str, Any]]
    threads: int
    target_text: str | None
    records: str
    reference: str
    tasks: tuple[str, ...] = ()
    candidate: int | None = None
    trials: int = 0
    cost_model: str = "xgboost"
    rpc: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """The folder of the tuner's records."""
        return Path(self.records)
