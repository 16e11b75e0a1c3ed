"""Which jobs would run, without running them: for `--dry-run`. The parent's side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..spec.errors import Error


class Unknown(Error):
    """A job that never ran. What follows it needs its outputs, so a plan ends there."""


@dataclass
class Plan:
    """The jobs that were asked for, by verb and path of the receipt, with the seconds that each would take.

    That is 0 if the job's result would be reused; else as long as the job took when it ran the last time. A job that
    would run is taken to change what the same variant asks for afterwards.
    """

    seconds: dict[tuple[str, Path], float] = field(default_factory=dict)
    changed: bool = False

    def begin(self) -> None:
        """Begin another variant."""
        self.changed = False

    def consult(self, verb: str, path: Path, valid: dict[str, Any] | None) -> dict[str, Any]:
        """The receipt of a job, which is noted. Raises `Unknown` for a job that has none."""
        receipt = valid or earlier(path)
        if not receipt:
            raise Unknown(path.name)
        runs = self.changed or not valid
        seconds = self.seconds.setdefault((verb, path), receipt["seconds"] if runs else 0.0)
        self.changed |= seconds > 0
        return receipt


_PLAN: ContextVar[Plan | None] = ContextVar("plan", default=None)


def current() -> Plan | None:
    """The plan that jobs are noted in; None if they run."""
    return _PLAN.get()


@contextmanager
def planning() -> Iterator[Plan]:
    """Within it, jobs are noted in the plan, and do not run."""
    plan = Plan()
    token = _PLAN.set(plan)
    try:
        yield plan
    finally:
        _PLAN.reset(token)


def earlier(path: Path) -> dict[str, Any] | None:
    """The receipt at `path`, valid or not; None if there is none."""
    try:
        receipt = json.loads(path.read_text())
        return receipt if receipt["seconds"] >= 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
