"""What a race would do, as `bench --dry-run` prints it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = ("build", "answers", "layers", "rounds")


@dataclass(frozen=True)
class Planned:
    """What a race would do with a variant.

    `seconds` has the seconds of each step by earlier runs: 0 if their results are reused, None if it never ran. A step
    that several variants need counts for the first. `skipped` is the reason if the variant cannot run here.
    """

    name: str
    seconds: dict[str, float | None]
    skipped: str | None = None
