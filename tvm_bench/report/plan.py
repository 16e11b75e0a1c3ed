"""What `bench --dry-run` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ..spec.planned import STEPS, Planned
from .table import Table, rich_table

NEW = "new"


def show(plan: Sequence[Planned], console: Console) -> None:
    """Print a table of the variants, and how long the race would take."""
    lines = [[planned.name, *(_cell(planned.seconds, step) for step in STEPS)] for planned in plan if planned.seconds]
    console.print(rich_table("Dry run", Table("seconds by earlier runs", ("variant", *STEPS), lines)))
    for planned in plan:
        if planned.skipped:
            console.print(f"{planned.name}: skipped: {planned.skipped}", markup=False, highlight=False)
    console.print(summary(plan), markup=False, highlight=False)


def summary(plan: Sequence[Planned]) -> str:
    """`It would take about 3.2 minutes, and in addition 4 steps that never ran here.`"""
    steps = [seconds for planned in plan for seconds in planned.seconds.values()]
    new, known = steps.count(None), sum(seconds for seconds in steps if seconds)
    if new == len(steps):
        return "None of it has run here, so there is no estimate."
    return f"It would take about {known / 60:.1f} minutes" + (
        f", and in addition the {new} steps marked '{NEW}', which never ran here." if new else "."
    )


def _cell(seconds: dict[str, float | None], step: str) -> str:
    if step not in seconds:
        return ""
    value = seconds[step]
    return NEW if value is None else f"{value:.0f}" if value else "reused"
