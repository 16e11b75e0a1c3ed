"""report.md: the finding, the doubts about it, the numbers, and how to get them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..results import Results, Row
from . import footprint, sweeps, table, units
from .statistics import by_latency, median, speed_up
from .verdict import MIN_ROUNDS, doubts, fastest, finding

CLOCKS = """\
- **median, p95** and all that is derived from them: the wall clock around one call, NumPy array in to NumPy array out,
  with the copies that each backend needs for that, after warm-up.
- **time_evaluator**: TVM's own clock. Kernels only, hot cache, no copy of the input. It is not to be compared with the
  wall clock of another backend.
- **load**: from the file to a model that can be called. **first call**: the first one after loading, before warm-up.
- **peak MB**: the highest resident memory of the process (VmHWM); in brackets, what it was after the imports.
- Each round ran every variant once, in random order, each in a fresh process. Medians are those of the rounds'
  medians; intervals are 95 %, by bootstrap over the rounds for times and ratios, Wilson's for accuracies."""


def markdown(results: Results, plots: list[Path], folder: Path) -> str:
    """The whole report as Markdown; pictures are linked relative to `folder`."""
    model = units.model_name(row.name for row in results.variants)
    sections = [
        f"# {model}: speed, memory and accuracy",
        "\n".join(headline(results)).strip(),
        _section("Doubts", _bullets(doubts(results)) or "None of the checks failed."),
        _section("Numbers", table.markdown(results)),
        _section("Sweeps", sweeps.markdown(results)),
        _section("Memory, size and terms", footprint.markdown(results)),
        *[f"![{plot.stem}]({plot.relative_to(folder).as_posix()})" for plot in plots],
        _section("Warnings", _bullets(f"{row.name}: {text}" for row in results.variants for text in row.warnings)),
        _section("What each clock includes", CLOCKS),
        _section("Machine", _bullets(_pairs(results.machine))),
        _section("Settings", _bullets(_pairs({k: v for k, v in results.settings.items() if k != "command"}))),
        _section("To reproduce", _command(results.settings.get("command"))),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def headline(results: Results) -> Iterator[str]:
    """The finding, what it costs in accuracy, and every ratio to FP32 eager: one line of Markdown each."""
    rows = by_latency(results)
    few = min((len(row.rounds) for row in rows), default=MIN_ROUNDS) < MIN_ROUNDS
    yield f"**{finding(results)}.**" + (" A first impression only: see the doubts." if few else "")
    first = fastest(results)
    if first and first.tie and first.ratio:
        yield f"{first.second} takes {units.times(first.ratio)} the time of {first.names[0]}."
    for row in rows:
        if first and row.name in first.names and (cost := _cost(row, results.reference)):
            yield cost
    yield ""
    for row in rows:
        if estimate := speed_up(row, results):
            latency = units.ms(median(row.rounds).value)
            yield f"- {row.name}: {units.times(estimate)} as fast as {results.reference.name}, {latency} ms"
    for row in results.variants:
        if not row.ok:
            yield f"- {row.name} {table.failure(row)}"


def _cost(row: Row, reference: Row | None) -> str | None:
    if row is reference or reference is None or row.top1 is None or reference.top1 is None:
        return None
    drop = units.points(row.top1 - reference.top1)
    return f"Top-1 of {row.name}: {table.top1(row)}, {drop} percentage points from FP32 eager."


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(lines: Iterator[str] | list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _pairs(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _command(command: str | list[str] | None) -> str:
    if not command:
        return ""
    return f"```sh\n{command if isinstance(command, str) else shlex.join(command)}\n```"
