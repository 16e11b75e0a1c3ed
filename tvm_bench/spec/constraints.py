"""What a deployment allows. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Constraints:
    """Percentage points of Top-1 below FP32 eager, MB of peak memory, and ms of the 95th percentile of a call."""

    max_drop: float | None = None
    max_rss: float | None = None
    p95: float | None = None

    def given(self) -> dict[str, float]:
        """Those that are set; empty where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        return " ".join(f"{option(name)} {value:g}" for name, value in self.given().items())


def option(name: str) -> str:
    """`max_rss` -> `--max-rss`."""
    return "--" + name.replace("_", "-")
