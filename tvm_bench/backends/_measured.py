"""Counts the trials of one task, and makes the row that a tuner reports for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Measured:
    """The number of trials, the failed ones by kind, and the best time in milliseconds."""

    trials: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    best_ms: float | None = None

    def add(self, milliseconds: float | None) -> None:
        """Count a trial that took `milliseconds`; None: it failed."""
        self.trials += 1
        self.best_ms = min((ms for ms in (self.best_ms, milliseconds) if ms is not None), default=None)

    def row(self, key: str, name: str, weight: int, flops: float) -> dict[str, Any]:
        """The fields of an `analysis.ledger.Task`; `weight` is how often the task occurs in the model."""
        counted = {"trials": self.trials, "failed": self.failed, "best_ms": self.best_ms}
        return {"key": key, "name": name, "weight": weight, "flops": flops, **counted}
