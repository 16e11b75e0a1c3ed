"""report.md: the verdict, quality warnings, the numbers, and how to reproduce them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..analysis.results import flat
from . import environment, table
from .content import EXPLAINED, Content
from .summary_text import Section, Summary, includes


def markdown(content: Content, plots: list[Path], folder: Path) -> str:
    """The whole report as Markdown; plots are linked relative to `folder`."""
    results, warnings = content.results, content.summary.warnings
    command = environment.command(results)
    parts = [
        f"# {content.model}: speed, memory and accuracy",
        _verdict(content.summary),
        _part(warnings.kind.value, _bullets(warnings.lines) or "None."),
        _part(EXPLAINED, _bullets(content.explanations)),
        _part("Numbers", table.markdown(content.tables)),
        *[f"![{plot.stem}]({plot.relative_to(folder).as_posix()})" for plot in plots],
        _part("What each figure includes", _bullets(includes(results))),
        _part("Machine", _bullets(_pairs(flat(results.machine)))),
        _part("Settings", _bullets(_pairs(environment.settings(results)))),
        _part("To reproduce", f"```sh\n{command}\n```" if command else ""),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(summary: Summary) -> str:
    """The headline and the sections of the summary."""
    return "\n\n".join([f"**{summary.headline}.**", *map(_section, summary.sections)])


def _section(section: Section) -> str:
    title = section.kind.value
    return f"{title}\n\n{_bullets(section.lines)}" if title else _bullets(section.lines)


def _part(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _pairs(values: dict[str, str]) -> list[str]:
    return [f"{key}: {value}" for key, value in values.items()]
