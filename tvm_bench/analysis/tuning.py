"""The outcome of tuning one variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ledger import Ledger, StopReason


@dataclass(frozen=True)
class Tuned:
    """The ledgers of the tuners, and the measurements of the library that was built with their records."""

    precision: str
    records: Path
    ledgers: Mapping[str, Ledger]  # by tuner
    spent: int  # trials of this run
    stops: Mapping[str, StopReason]  # by tuner
    measured: Mapping[str, Any]  # as `selection.best` returns it

    @property
    def seconds(self) -> float:
        """Duration of the steps of all tuners, including earlier runs."""
        return sum(ledger.seconds for ledger in self.ledgers.values())

    @property
    def gained_ms(self) -> float:
        """Milliseconds saved per inference against the default schedules, measured on the whole model.

        Zero if the library uses the default schedules, as it does when the difference may be noise, and if this CPU
        cannot run it.
        """
        times, selected = self.measured["candidates_ms"], self.measured["chosen"]
        return times["default"] - times[selected] if times and selected != "default" else 0.0

    @property
    def amortised_after(self) -> float | None:
        """The number of inferences that save as much time as tuning took; None if nothing was gained."""
        return self.seconds * 1e3 / self.gained_ms if self.gained_ms > 0 else None
