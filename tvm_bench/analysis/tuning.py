"""What tuning came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tuned:
    """What a tuning came to: the ledgers of its tuners, and the library that was built with its records."""

    precision: str
    records: Path
    ledgers: dict[str, dict[str, Any]]  # by tuner
    spent: int  # trials of this run
    ends: dict[str, str]  # why each tuner ended, in words
    measured: dict[str, Any]  # of the built model: see `selection.best`

    @property
    def seconds(self) -> float:
        """What the rounds of all tuners took, those of earlier runs included."""
        return sum(ledger["seconds"] for ledger in self.ledgers.values())

    @property
    def gained_ms(self) -> float:
        """What the chosen library is faster than the one with default schedules, each measured as a whole."""
        times = self.measured["candidates_ms"]
        return times["default"] - times[self.measured["chosen"]] if times else 0.0

    @property
    def paid_after(self) -> float | None:
        """Inferences after which the rounds' time is won back; None when nothing was gained."""
        return self.seconds * 1e3 / self.gained_ms if self.gained_ms > 0 else None
