"""report.md: the finding, the doubts about it, the numbers, and how to get them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..results import Results
from . import facts, numbers, table, units, words
from .doubts import doubts
from .groups import races


def markdown(results: Results, plots: list[Path], folder: Path) -> str:
    """The whole report as Markdown; pictures are linked relative to `folder`."""
    model = units.model_name(row.name for row in results.variants)
    sections = [
        f"# {model}: speed, memory and accuracy",
        "\n".join(verdict(results)).strip(),
        _section("Doubts", "\n".join(_bullets(doubts(results))) or "None of the checks failed."),
        _section("Numbers", table.markdown(numbers.every(results))),
        *[f"![{plot.stem}]({plot.relative_to(folder).as_posix()})" for plot in plots],
        _section("What each figure includes", "\n".join(_bullets(words.INCLUDES))),
        _section("Machine", "\n".join(_bullets(facts.machine(results)))),
        _section("Settings", "\n".join(_bullets(facts.settings(results)))),
        _section("To reproduce", f"```sh\n{command}\n```" if (command := facts.command(results)) else ""),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def verdict(results: Results) -> Iterator[str]:
    """The headline, what it costs, what would change it, and the Pareto front: one line of Markdown each."""
    yield f"**{words.headline(races(results)[0])}.**"
    for title, lines in words.sections(results):
        yield from ("", title, "") if title else ("",)
        yield from _bullets(lines)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    return (f"- {line}" for line in lines)
