"""Prints a comparison of two races."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.compare import Change
from ..analysis.statistics import RELEVANT, mean_latency
from . import formatting

if TYPE_CHECKING:
    from rich.console import Console


def show(changes: list[Change], old: Path, new: Path, console: Console) -> None:
    """Print a table of the changes, one line per variant."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{new} against {old}", style="bold")
    table = Table("variant", box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for name in ("old ms", "new ms", "new / old [99 %]", ""):
        table.add_column(name, justify="right" if name else "left")
    for change in changes:
        times = [
            formatting.ms(mean_latency(row.rounds).value) if row and row.rounds else formatting.NONE
            for row in (change.old, change.new)
        ]
        ratio = formatting.times(change.ratio) if change.ratio else formatting.NONE
        style = "red" if change.regressed else ""
        table.add_row(Text(change.name), *times, ratio, Text(change.word, style=style))
    console.print(table)
    console.print(
        f"faster, slower: the 99 % interval, from the variance between rounds, is beyond ±{RELEVANT:.0%}. "
        "The intervals do not cover differences between whole runs: repeat a surprising result."
    )
