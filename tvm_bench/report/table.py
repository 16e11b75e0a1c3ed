"""A table, rendered for the terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.table


@dataclass(frozen=True)
class Table:
    """Lines of cells below a header. A failed variant has two cells: its name and the reason."""

    title: str
    header: tuple[str, ...]
    lines: list[list[str]]


def markdown(tables: list[Table]) -> str:
    """Each table below its title."""
    return "\n\n".join(f"{table.title}:\n\n{_markdown(table)}" for table in tables)


def rich_table(model: str, table: Table) -> rich.table.Table:
    """The table for a terminal, without failed variants."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(f"{model}: {table.title[:1].lower()}{table.title[1:]}", style="bold")
    shown = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(table.header):
        shown.add_column(
            Text(name), justify="right" if index else "left", no_wrap=not index, overflow="fold", vertical="bottom"
        )
    for cells in table.lines:
        if len(cells) > 2:
            shown.add_row(*map(Text, cells))
    return shown


def _markdown(table: Table) -> str:
    width = len(table.header)
    lines = [table.header, ["---", *["---:"] * (width - 1)]]
    lines += [[*cells, *[""] * (width - len(cells))] for cells in table.lines]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
