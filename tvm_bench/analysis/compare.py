"""Compares two races on one machine, variant by variant."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..spec.errors import UserError
from .results import Results, Row, flat
from .statistics import Estimate, change

# What latency depends on besides the variant. The version of tvm_bench is left out: versions are to be compared.
MACHINE = (
    *("cpu", "features", "cores", "cores_total", "cpu_quota", "architecture", "virtualised"),
    *("microcode", "smt", "boost", "governor", "huge_pages", "system", "kernel", "python", "packages"),
)
SETTINGS = ("model", "threads", "warmup", "target")
WORDS = {1: "slower", 0: "no difference", -1: "faster"}


@dataclass(frozen=True)
class Change:
    """One variant in two races. `ratio` is the new latency over the old one; None if one is missing."""

    name: str
    old: Row | None
    new: Row | None
    ratio: Estimate | None
    regressed: bool

    @property
    def word(self) -> str:
        """`faster`, `slower`, `no difference`, or why the two cannot be compared."""
        if self.ratio is not None and math.isnan(self.ratio.low):
            return "one round: cannot compare"
        if self.ratio is not None:
            return WORDS[self.ratio.direction] + (", a regression" if self.regressed else "")
        for when, row in (("before", self.old), ("now", self.new)):
            if row is None:
                return f"not in the race {when}"
            if not row.rounds:
                return f"not timed {when}" if row.ok else f"{row.status} {when}"
        return "flagged now" if self.regressed else "flagged before"


def compare(old: Results, new: Results, tolerance: float) -> list[Change]:
    """The change of each variant. Raises `UserError` for races on different machines or with different settings.

    A variant regressed if it is clearly slower by more than `tolerance` (0.05: 5 %), or if it ran before and now
    failed or was flagged.
    """
    _require_same(old, new)
    before, after = ({row.name: row for row in results.variants} for results in (old, new))
    return [_change(name, before.get(name), after.get(name), tolerance) for name in {**before, **after}]


def _change(name: str, old: Row | None, new: Row | None, tolerance: float) -> Change:
    if not old or not new or not _valid(old) or not _valid(new):
        return Change(name, old, new, None, bool(old and new and _valid(old) and not _valid(new)))
    ratio = change(new.rounds, old.rounds)
    return Change(name, old, new, ratio, ratio.direction > 0 and ratio.value > 1 + tolerance)


def _valid(row: Row) -> bool:
    return bool(row.rounds) and not row.flagged


def _require_same(old: Results, new: Results) -> None:
    """Raise `UserError` if a key that both files have differs; an older file may lack some."""
    for part, keys in (("machine", MACHINE), ("settings", SETTINGS)):
        before, after = (
            flat({key: value for key, value in getattr(run, part).items() if key in keys}) for run in (old, new)
        )
        for key in sorted(before.keys() & after.keys()):
            if before[key] != after[key]:
                raise UserError(
                    f"the two results are not of the same {part}: {part}.{key} was '{before[key]}' and is "
                    f"'{after[key]}'. Run the older race again with the same {part}, and compare with that."
                )
