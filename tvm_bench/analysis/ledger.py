"""The progress of one tuner on one variant, stored as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any

from ..host.files import write_json

NOTHING_NEW = "no schedule that was not measured before"
MESSAGE = 200  # characters of an error that are stored


class StopReason(Enum):
    """Why tuning ends."""

    TRIALS = auto()  # the budget of trials is spent
    MINUTES = auto()  # the budget of time is spent
    MEASURED = auto()  # every schedule was measured
    NO_GAIN = auto()  # no task promises a further gain
    FAILURES = auto()  # the compiler fails on the remaining candidates


@dataclass(frozen=True)
class Task:
    """A part of the model with its own schedule, and its trials so far.

    `weight` is its count in the model, `failed` the number of failed trials by kind; times are of one occurrence. Only
    templates have `candidates` (their number) and `left` (the indices of those that are not measured yet).
    """

    key: str
    name: str
    weight: int
    flops: float
    trials: int
    failed: Mapping[str, int]
    best_ms: float | None
    default_ms: float | None = None
    candidates: int | None = None
    left: Sequence[int] = ()


@dataclass(frozen=True)
class FailedStep:
    """A tuning step that measured nothing: its tasks, the index of the candidate (templates only), and the error."""

    tasks: tuple[str, ...]
    candidate: int | None
    message: str


@dataclass(frozen=True)
class Ledger:
    """The tasks, and the history of all steps.

    `best_ms` has the best time of a task after each of its steps, `curve` the estimated milliseconds of the model after
    each step; `seconds` is the duration of all steps.
    """

    tasks: tuple[Task, ...] = ()
    best_ms: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    failed_steps: tuple[FailedStep, ...] = ()
    seconds: float = 0.0
    curve: tuple[float, ...] = ()

    @property
    def spent(self) -> int:
        """The number of trials of all tasks."""
        return sum(task.trials for task in self.tasks)

    @property
    def schedules(self) -> int | None:
        """The number of schedules to measure; None for a search, which has no fixed number."""
        counts = [task.candidates - 1 for task in self.tasks if task.candidates is not None]
        return sum(counts) if len(counts) == len(self.tasks) else None

    @property
    def total_ms(self) -> float:
        """The summed time of the measured tasks, in milliseconds: it rises until all tasks are measured."""
        return sum(task.weight * task.best_ms for task in self.tasks if task.best_ms)

    def with_tasks(self, rows: Sequence[Mapping[str, Any]]) -> Ledger:
        """The ledger with the tasks that a worker reported."""
        return replace(self, tasks=tuple(Task(**row) for row in rows))

    def after(
        self,
        keys: tuple[str, ...],
        candidate: int | None,
        rows: Sequence[Mapping[str, Any]],
        seconds: float,
        error: str | None,
    ) -> Ledger:
        """The ledger after a step of the tasks `keys`, which failed if there is an `error` or no new trial."""
        now = self.with_tasks(rows)
        if error or now.spent == self.spent:
            failed = FailedStep(keys, candidate, (error or NOTHING_NEW)[:MESSAGE])
            now = replace(now, failed_steps=(*self.failed_steps, failed))
        else:
            best = {task.key: (*self.best_ms.get(task.key, ()), task.best_ms) for task in now.tasks if task.key in keys}
            now = replace(now, best_ms={**self.best_ms, **best})
        return replace(now, seconds=self.seconds + seconds, curve=(*self.curve, now.total_ms))


def read(path: Path) -> Ledger:
    """The ledger in the file; empty without a file. The stored tasks are ignored: a worker reports them again."""
    if not path.exists():
        return Ledger()
    stored = json.loads(path.read_text())
    failed = [FailedStep(**{**step, "tasks": tuple(step["tasks"])}) for step in stored.get("failed_steps", ())]
    return Ledger(
        best_ms={key: tuple(times) for key, times in stored.get("best_ms", {}).items()},
        failed_steps=tuple(failed),
        seconds=stored["seconds"],
        curve=tuple(stored["curve"]),
    )


def write(ledger: Ledger, path: Path) -> None:
    """Write the ledger atomically."""
    write_json(path, asdict(ledger))
