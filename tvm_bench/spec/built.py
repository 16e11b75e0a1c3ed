"""Built libraries, as `list` and `verify` find them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

TOLERANCE = 1e-3  # of an output's range: another CPU may round otherwise


@dataclass(frozen=True)
class Built:
    """A library: its folder, its manifest (None: it is damaged), its size in MB of 10**6 bytes, when it was built."""

    folder: Path
    about: dict[str, Any] | None
    size_mb: float
    time: datetime


@dataclass(frozen=True)
class Verified:
    """The difference of each output to that of the build, as a share of its range; latencies in ms by TVM's clock."""

    differences: dict[str, float]
    latency_ms: float
    latency_ms_when_built: float

    @property
    def right(self) -> bool:
        return all(difference <= TOLERANCE for difference in self.differences.values())
