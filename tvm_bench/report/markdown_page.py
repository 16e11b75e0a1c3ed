"""report.md: the finding, the doubts about it, the numbers, and how to get them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..analysis.comparable import races
from ..analysis.names import model_name
from ..analysis.quality_warnings import doubts
from ..analysis.results import Results
from . import environment, summary_text, table, tables


def markdown(results: Results, plots: list[Path], folder: Path) -> str:
    """The whole report as Markdown; pictures are linked relative to `folder`."""
    model = model_name(row.name for row in results.variants)
    sections = [
        f"# {model}: speed, memory and accuracy",
        "\n".join(verdict(results)).strip(),
        _section("Doubts", "\n".join(_bullets(doubts(results))) or "None of the checks failed."),
        _section("Numbers", table.markdown(tables.every(results))),
        *[f"![{plot.stem}]({plot.relative_to(folder).as_posix()})" for plot in plots],
        _section("What each figure includes", "\n".join(_bullets(summary_text.INCLUDES))),
        _section("Machine", "\n".join(_bullets(environment.machine(results)))),
        _section("Settings", "\n".join(_bullets(environment.settings(results)))),
        _section("To reproduce", f"```sh\n{command}\n```" if (command := environment.command(results)) else ""),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def verdict(results: Results) -> Iterator[str]:
    """The headline, what it costs, what would change it, and the Pareto front: one line of Markdown each."""
    yield f"**{summary_text.headline(races(results)[0])}.**"
    for title, lines in summary_text.sections(results):
        yield from ("", title, "") if title else ("",)
        yield from _bullets(lines)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    return (f"- {line}" for line in lines)
