"""The outcome of tuning one variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ledger import Ledger, StopReason


@dataclass(frozen=True)
class Tuned:
    """The ledgers of the tuners, and the library that was built with their records."""

    precision: str
    records: Path
    ledgers: Mapping[str, Ledger]  # by tuner
    spent: int  # trials of this run
    stops: Mapping[str, StopReason]  # by tuner
    measured: Mapping[str, Any]  # of the built model: see `selection.best`

    @property
    def seconds(self) -> float:
        """Time of the steps of all tuners, those of earlier runs included."""
        return sum(ledger.seconds for ledger in self.ledgers.values())

    @property
    def gained_ms(self) -> float:
        """By how much the library is faster than the one with default schedules, each measured as a whole model.

        Zero where the library keeps the default schedules, as it does when the difference may be chance, and where this
        CPU cannot run it.
        """
        times, chosen = self.measured["candidates_ms"], self.measured["chosen"]
        return times["default"] - times[chosen] if times and chosen != "default" else 0.0

    @property
    def amortised_after(self) -> float | None:
        """Inferences that save as much time as tuning took; None when nothing was gained."""
        return self.seconds * 1e3 / self.gained_ms if self.gained_ms > 0 else None
