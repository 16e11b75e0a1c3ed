"""Policies of the tuners: from the ledger to the next tuning step, or to the reason to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..analysis.ledger import Ledger, StopReason, Task

MIN_GAIN = 0.002  # of the estimated latency; tasks whose last two steps together gained less are done
MAX_FAILURES = 2  # failed steps of a task before a search excludes it
MAX_LOST = 10  # candidates that fail alone before templates stop: then the compiler is broken, not the candidates
FIRST_GAIN = 0.1  # of a task's time: the expected gain of its second step


@dataclass(frozen=True)
class NextStep:
    """Measure up to `trials` schedules of one task by `cost_model`, or one `candidate` (an index) of all `tasks`."""

    tasks: tuple[str, ...]
    trials: int
    candidate: int | None = None
    cost_model: str = "xgboost"


Policy = Callable[[Ledger, int], NextStep | StopReason]  # from the ledger and the trials that are left


def search(ledger: Ledger, left: int, *, per_step: int) -> NextStep | StopReason:
    """The next step of a search: every task once, the heaviest first; then the task whose last steps gained most.

    A task whose step failed continues with the random cost model, which does not abort.
    """
    failures = [key for step in ledger.failed_steps for key in step.tasks]
    able = [task for task in ledger.tasks if failures.count(task.key) < MAX_FAILURES]
    promising = [task for task in able if _gain(ledger, task) > MIN_GAIN * ledger.total_ms]
    if fresh := [task for task in able if not task.trials]:
        task = max(fresh, key=lambda task: task.flops * task.weight)
    elif promising:
        task = max(promising, key=lambda task: _gain(ledger, task))
    else:
        return StopReason.NO_GAIN
    cost_model = "random" if task.key in failures else "xgboost"
    return NextStep((task.key,), min(per_step, left), cost_model=cost_model)


def _gain(ledger: Ledger, task: Task) -> float:
    """The milliseconds of the model that the task's last two steps saved."""
    if task.best_ms is None:
        return 0.0
    times = [best for best in ledger.best_ms.get(task.key, ()) if best]
    if len(times) < 2:
        return FIRST_GAIN * task.weight * task.best_ms
    return task.weight * (times[-min(3, len(times))] - times[-1])


def templates(ledger: Ledger, left: int) -> NextStep | StopReason:
    """The next step of templates: the first unmeasured candidate, for as many convolutions as there are trials left.

    After a failed step its convolutions are measured in halves, until the failing candidate is alone; it is excluded.
    """
    excluded = {(step.candidate, step.tasks[0]) for step in ledger.failed_steps if len(step.tasks) == 1}
    if len(excluded) >= MAX_LOST:
        return StopReason.FAILURES
    open_ = [(index, task.key) for task in ledger.tasks for index in task.left if (index, task.key) not in excluded]
    if not open_:
        return StopReason.FAILURES if excluded else StopReason.MEASURED
    candidate, _ = min(open_)
    sizes = {key: _largest_group(ledger, candidate, key) for index, key in open_ if index == candidate}
    size = min(sizes.values())
    group = [key for key in sizes if sizes[key] == size][: min(size, left)]
    return NextStep(tuple(group), len(group), candidate)


def _largest_group(ledger: Ledger, candidate: int, key: str) -> int:
    """The largest group of convolutions in which this candidate of the convolution `key` may be measured."""
    failed = [step for step in ledger.failed_steps if step.candidate == candidate and key in step.tasks]
    return min((len(step.tasks) // 2 for step in failed), default=sys.maxsize)


# `per_step`: trials per tuning step; a compiler crash loses at most this many.
POLICIES: dict[str, Policy] = {
    "templates": templates,
    "metaschedule": partial(search, per_step=64),
    "autoscheduler": partial(search, per_step=8),
}
