"""The profile of a compiled model: a table of its kernels, slowest first."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..spec.schedule_source import TUNED

MILLION = 1e6


def rows(kernels: dict[str, dict[str, Any]], times: dict[str, float]) -> list[dict[str, Any]]:
    """The `kernels` of a manifest with their `times`, slowest first.

    `times` and `ms` are milliseconds of all calls of a kernel together, `share` is that of all kernels, and `gops` are
    10^9 operations per second (None for a kernel without a convolution or a dense layer).
    """
    total = sum(times.values())
    found = []
    for name, milliseconds in sorted(times.items(), key=lambda item: -item[1]):
        kernel = kernels.get(name, {})
        calls = kernel.get("calls", 1)
        work = kernel.get("operations", 0.0) * calls
        found.append(
            {
                "kernel": name.removeprefix("tvmgen_default_"),
                "convolution": kernel.get("convolution", ""),
                "schedule": kernel.get("schedule", ""),
                "from": (kernel.get("record") if kernel.get("kind") == TUNED else None) or kernel.get("kind", ""),
                "calls": calls,
                "ms": milliseconds,
                "share": milliseconds / total,
                "gops": work / MILLION / milliseconds if work and milliseconds else None,
            }
        )
    return found


def profile_table(kernels: dict[str, dict[str, Any]], times: dict[str, float]) -> RenderableType:
    """The table of the `kernels` of a manifest with their `times`, as in `rows`."""
    table = Table("kernel", "convolution", "schedule", "from", box=box.SIMPLE_HEAD)
    for name in ("calls", "ms", "share", "GOP/s"):
        table.add_column(name, justify="right")
    for row in rows(kernels, times):
        table.add_row(
            Text(row["kernel"][:48]),
            Text(row["convolution"]),
            row["schedule"],
            Text(row["from"][:40]),
            str(row["calls"]),
            f"{row['ms']:.3f}",
            f"{row['share']:.1%}",
            "" if row["gops"] is None else f"{row['gops']:,.0f}",
        )
    computing = sum(times[name] for name in times if "operations" in kernels.get(name, {}))
    sums = (
        f"{sum(times.values()):.3f} ms in {len(times)} kernels, {computing:.3f} ms of it in convolutions and products"
    )
    return Group(table, Text(f"{sums} of matrices; medians, each kernel timed by itself inside the model"))
