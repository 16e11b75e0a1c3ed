"""A tuning's tasks as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

MEGA, GIGA = 1e6, 1e9


def show(ledger: list[dict[str, Any]], console: Console) -> None:
    """Print each task with its weight, work, trials, failures and best kernel, the heaviest first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("task", box=box.SIMPLE_HEAD)
    for name in ("weight", "MFLOP", "trials", "failed", "best ms", "GFLOP/s"):
        table.add_column(name, justify="right")
    for task in sorted(ledger, key=lambda task: -task["weight"] * task["flops"]):
        best = task["best_ms"]
        table.add_row(
            Text(task["name"].removeprefix("vm_mod_")[:70]),
            str(task["weight"]),
            f"{task['flops'] / MEGA:,.1f}",
            str(task["trials"]),
            str(task["failed"]),
            f"{best:.3f}" if best else "default",
            f"{task['flops'] / GIGA / (best / 1e3):,.0f}" if best else "",
        )
    console.print(table)
