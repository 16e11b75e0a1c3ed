"""The profile of a compiled model: a table of its kernels, slowest first."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

MILLION = 1e6


def profile_table(kernels: dict[str, dict[str, Any]], times: dict[str, float]) -> RenderableType:
    """The table of the `kernels` of a manifest; `times` are milliseconds by name, all calls of a kernel together."""
    table = Table("kernel", "convolution", "schedule", "from", box=box.SIMPLE_HEAD)
    for name in ("calls", "ms", "share", "GOP/s"):
        table.add_column(name, justify="right")
    total = sum(times.values())
    for name, milliseconds in sorted(times.items(), key=lambda item: -item[1]):
        kernel = kernels.get(name, {})
        work = kernel.get("operations", 0.0) * kernel.get("calls", 1)
        table.add_row(
            Text(name.removeprefix("tvmgen_default_")[:48]),
            Text(kernel.get("convolution", "")),
            kernel.get("schedule", ""),
            Text((kernel.get("record") or kernel.get("kind", ""))[:40]),
            str(kernel.get("calls", 1)),
            f"{milliseconds:.3f}",
            f"{milliseconds / total:.1%}",
            f"{work / MILLION / milliseconds:,.0f}" if work and milliseconds else "",
        )
    computing = sum(times[name] for name in times if "operations" in kernels.get(name, {}))
    sums = f"{total:.3f} ms in {len(times)} kernels, {computing:.3f} ms of it in convolutions"
    return Group(table, Text(f"{sums}; medians, each kernel timed by itself inside the model"))
