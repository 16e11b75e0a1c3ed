"""The constraints of a deployment, which the user sets. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Constraints:
    """Upper bounds; None: unconstrained."""

    max_drop: float | None = None  # percentage points of Top-1 below FP32 eager
    max_rss: float | None = None  # MB of peak memory
    max_p95: float | None = None  # ms, 95th percentile of the latency

    def given(self) -> dict[str, float]:
        """The constraints that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        return " ".join(f"{option(name)} {value:g}" for name, value in self.given().items())


def option(name: str) -> str:
    """`max_rss` -> `--max-rss`."""
    return "--" + name.replace("_", "-")
