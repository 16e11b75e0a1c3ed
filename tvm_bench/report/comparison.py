"""A comparison of two races, as a table for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.compare import Change
from ..analysis.statistics import RELEVANT, mean_latency
from . import formatting

if TYPE_CHECKING:
    from rich.console import Console


def show(changes: list[Change], old: Path, new: Path, console: Console) -> None:
    """Print a line for each variant."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{new} against {old}", style="bold")
    table = Table("variant", box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for name in ("old ms", "new ms", "new / old [99 %]", ""):
        table.add_column(name, justify="right" if name else "left")
    for each in changes:
        times = [
            formatting.ms(mean_latency(row.rounds).value) if row and row.rounds else formatting.NONE
            for row in (each.old, each.new)
        ]
        ratio = formatting.times(each.ratio) if each.ratio else formatting.NONE
        style = "red" if each.regressed else ""
        table.add_row(Text(each.name), *times, ratio, Text(each.word, style=style))
    console.print(table)
    console.print(
        f"faster and slower: by more than {RELEVANT:.0%}, by a 99 % interval from the variance between the rounds. "
        "What differs between two runs as a whole is in no interval: repeat a surprise."
    )
