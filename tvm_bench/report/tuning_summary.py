"""The outcome of tuning, as tables and sentences."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..analysis.ledger import StopReason

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..analysis.tuning import Tuned

MEGA, GIGA = 1e6, 1e9
MINUTE = 60.0
STOPS = {
    StopReason.TRIALS: "the trials are spent",
    StopReason.MINUTES: "the minutes are spent",
    StopReason.MEASURED: "every schedule was measured",
    StopReason.NO_GAIN: "no task promises a further gain",
    StopReason.FAILURES: "the compiler fails on the remaining candidates",
}


def show(tuned: Tuned, console: Console) -> None:
    """Print a table of each tuner's tasks, the heaviest first; then the gain, the coverage, and the cost."""
    from rich.text import Text

    for tuner in tuned.ledgers:
        console.print(_table(tuned, tuner))
    for line in summary(tuned):
        console.print(Text(line))


def to_json(tuned: Tuned) -> dict[str, Any]:
    """The ledgers and the measurements, and what follows from them."""
    return {
        **asdict(tuned),
        "stops": {tuner: stop.name.lower() for tuner, stop in tuned.stops.items()},
        "seconds": tuned.seconds,
        "gained_ms": tuned.gained_ms,
        "amortised_after": tuned.amortised_after,
    }


def _table(tuned: Tuned, tuner: str) -> Table:
    """The table of a tuner's tasks. Times are those measured inside the built model, else those of the search."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    in_place = tuned.measured["in_place_ms"]
    table = Table("task", box=box.SIMPLE_HEAD, title=f"{tuned.precision}, {tuner}", title_justify="left")
    for name in ("weight", "MFLOP", "trials", "failed", "default ms", "best ms", "GFLOP/s"):
        table.add_column(name, justify="right")
    for task in sorted(tuned.ledgers[tuner].tasks, key=lambda task: -task.weight * task.flops):
        default, best = in_place.get(f"{tuner}: {task.key}", (task.default_ms, task.best_ms))
        table.add_row(
            Text(task.name.removeprefix("vm_mod_")[:60]),
            str(task.weight),
            f"{task.flops / MEGA:,.1f}",
            str(task.trials),
            ", ".join(f"{count} {kind}" for kind, count in task.failed.items()) or "–",
            f"{default:.3f}" if default else "–",
            f"{best:.3f}" if best else "–",
            f"{task.flops / GIGA / (best / 1e3):,.0f}" if best else "",
        )
    return table


def summary(tuned: Tuned) -> list[str]:
    """The gain measured in the built model, the coverage by time, the cost, and where the records are."""
    measured = tuned.measured
    spent = f"{tuned.spent} trials now" if tuned.spent else "nothing was left to do"
    stops = "; ".join(f"{tuner}: {STOPS[stop]}" for tuner, stop in tuned.stops.items())
    failed = sum(len(ledger.failed_steps) for ledger in tuned.ledgers.values())
    lines = [
        f"{spent} ({stops}); {tuned.seconds / MINUTE:.1f} minutes of tuning in all, {failed} steps failed",
        f"latency of the whole model: {_milliseconds(measured['candidates_ms'])}; used: {measured['chosen']}",
        f"shares of its time: {coverage(measured['coverage'])}",
    ]
    if tuned.amortised_after:
        gain = f"{tuned.gained_ms:.3f} ms gained"
        lines.append(f"{gain}: the tuning time is amortised after {tuned.amortised_after:,.0f} inferences")
    elif not measured["candidates_ms"]:
        lines.append("the gain was not measured: this CPU cannot run the library")
    elif measured.get("tie"):
        lines.append("a tie within the noise of the measurement: the library keeps the default schedules")
    else:
        lines.append("tuning gained nothing: the library keeps the default schedules")
    return [*lines, f"records: {tuned.records}"]


def coverage(shares: dict[str, float]) -> str:
    """`71.0% tuned; 20.0% default, its record is not faster; 0.0% default, tuning failed; 9.0% default`."""
    return "; ".join(f"{share:.1%} {kind}" for kind, share in shares.items())


def _milliseconds(candidates: dict[str, Any]) -> str:
    return ", ".join(f"{name} {milliseconds:.3f} ms" for name, milliseconds in candidates.items())
