"""Views of the dumps that `backends/relay/ir_dump.py` wrote to `artifact/relay/`: tables of stages, operators and
fused groups, and diffs."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..spec.errors import UserError

FOLDERS = ("relay", "relax")
CONTEXT = 2  # lines around a change
# Numbers that shift when a line is inserted: of values (%12), function parameters (%p021) and constants.
SHIFTING = ((r"%p?\d+\b", "%"), (r"meta\[relay\.Constant\]\[\d+\]", "constant"))


@dataclass(frozen=True)
class Stage:
    """One stage of a build: `calls` by operator, `dtypes` of products, fused `groups` as in the JSON."""

    number: int
    name: str
    calls: dict[str, int]
    casts: int
    layout_transforms: int
    dtypes: dict[str, int]
    groups: tuple[dict[str, Any], ...]
    lines: int

    @property
    def label(self) -> str:
        """`4-optimized-and-fused`: also the stem of its files."""
        return f"{self.number}-{self.name}"


def show(artifact: Path, *, groups: bool, diff: tuple[str, str] | None, stage: str | None, console: Console) -> None:
    """Print the requested views of the dumps of `artifact`; without a request, its stages and their operators."""
    dumped = stages(artifact)
    if stage is not None:
        _print_text(find(dumped, stage), artifact, console)
    if groups:
        console.print(groups_table(fused(dumped)))
    if diff:
        console.print(diff_of(find(dumped, diff[0]), find(dumped, diff[1]), artifact), soft_wrap=True)
    if stage is None and not groups and not diff:
        console.print(stages_table(dumped))
        console.print(operators_table(dumped))


def stages(artifact: Path) -> list[Stage]:
    """The stages of a build, in order. Raises `UserError` if there are none, or one is damaged."""
    files = [path for folder in FOLDERS for path in (artifact / folder).glob("[0-9]*-*.json")]
    if not files:
        raise UserError(f"'{artifact}' has no dumps in {artifact / FOLDERS[0]}. Make them with `tvm-bench build`.")
    return [_read(path) for path in sorted(files, key=lambda path: int(path.name.partition("-")[0]))]


def find(stages: list[Stage], name: str) -> Stage:
    """The stage with the number `name`, or the only one whose name begins with it. Raises `UserError` otherwise."""
    hits = [stage for stage in stages if name in (str(stage.number), stage.name, stage.label)]
    hits = hits or [stage for stage in stages if name and stage.name.startswith(name.lower())]
    if len(hits) != 1:
        problem = "matches several stages" if hits else "is no stage"
        allowed = ", ".join(f"{stage.number} {stage.name}" for stage in stages)
        raise UserError(f"'{name}' {problem}. Give a number or the beginning of a name: {allowed}.")
    return hits[0]


def stages_table(stages: list[Stage]) -> Table:
    """One row for each stage: numbers of calls, casts, groups and lines."""
    numbers = ("calls", "kinds", "casts", "layout\ntrans-\nforms", "fused\ngroups", "lines")
    table = _table("Relay, stage by stage")
    table.add_column("stage", no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    table.add_column("conv and dense")
    for stage in stages:
        counts = (sum(stage.calls.values()), len(stage.calls), stage.casts, stage.layout_transforms)
        dtypes = "\n".join(f"{count} {_operands(dtype)}" for dtype, count in stage.dtypes.items())
        row = (stage.label, *(str(n) for n in (*counts, len(stage.groups), stage.lines)), dtypes)
        table.add_row(*map(Text, row))
    return table


def operators_table(stages: list[Stage]) -> Table:
    """Calls by operator, one column for each stage; the operator with the most calls in a stage comes first."""
    table = _table("Calls by operator")
    table.add_column("operator", no_wrap=True)
    for stage in stages:
        table.add_column(Text(f"{stage.number} {stage.name}".replace("-", "\n")), justify="right")
    peaks: Counter[str] = Counter()
    for stage in stages:
        peaks |= Counter(stage.calls)
    for operator, _ in sorted(peaks.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(operator), *(str(stage.calls.get(operator, "")) for stage in stages))
    return table


def groups_table(stage: Stage) -> Table:
    """One row for each fused function, in the order of execution: anchor, operators fused into it, shapes, MFLOP."""
    table = _table(f"{len(stage.groups)} fused groups of stage {stage.label}")
    table.add_column("#", justify="right")
    table.add_column("anchor <- fused into it")
    table.add_column("first inputs -> output")
    table.add_column("MFLOP", justify="right", no_wrap=True)
    for group in stage.groups:
        shapes = " x ".join(group["inputs"][: 2 if group["flops"] else 1])
        flops = f"{group['flops'] / 1e6:,.2f}" if group["flops"] else ""
        table.add_row(str(group["index"]), Text(_fusion(group)), Text(f"{shapes} -> {group['output']}"), flops)
    total = sum(group["flops"] for group in stage.groups) / 1e6
    table.caption = f"{total:,.1f} MFLOP in convolutions and dense layers; a multiply-add counts as 2"
    return table


def diff_of(a: Stage, b: Stage, artifact: Path) -> RenderableType:
    """The changes from `a` to `b`, coloured."""
    return Group(*map(_coloured, diff_lines(a, b, artifact)))


def diff_lines(a: Stage, b: Stage, artifact: Path) -> list[str]:
    """The changes from `a` to `b`: counts of operators, then a diff of the texts that ignores value numbers."""
    summary = [f"calls from {a.label} to {b.label}", *_changed_counts(a.calls, b.calls)]
    before, after = (text(stage, artifact).splitlines() for stage in (a, b))
    changed = list(_changed_lines(before, after)) or ["the texts are the same, except for numbering"]
    return [*summary, "", f"--- {a.label}.txt", f"+++ {b.label}.txt", *changed]


def _table(title: str) -> Table:
    # Narrow, so that eight columns fit a terminal of 80 characters.
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _operands(dtype: str) -> str:
    left, _, right = dtype.partition(" x ")
    return left if left == right else dtype


def _changed_counts(a: dict[str, int], b: dict[str, int]) -> list[str]:
    pairs = {name: (a.get(name, 0), b.get(name, 0)) for name in sorted(a.keys() | b.keys())}
    rows = [f"{new - old:<+5d}{name} ({old} -> {new})" for name, (old, new) in pairs.items() if new != old]
    return rows or ["no operator has more or fewer calls"]


def _changed_lines(before: list[str], after: list[str]) -> Iterator[str]:
    """A unified diff. Lines that differ only in numbering or indentation count as equal; all are printed unchanged."""
    matcher = difflib.SequenceMatcher(None, [_key(line) for line in before], [_key(line) for line in after])
    for hunk in matcher.get_grouped_opcodes(CONTEXT):
        first, last = hunk[0], hunk[-1]
        yield f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@"
        for kind, a0, a1, b0, b1 in hunk:
            if kind == "equal":
                yield from (f" {line}" for line in after[b0:b1])
            else:
                yield from (f"-{line}" for line in before[a0:a1])
                yield from (f"+{line}" for line in after[b0:b1])


def _key(line: str) -> str:
    for pattern, replacement in SHIFTING:
        line = re.sub(pattern, replacement, line)
    return line.strip()


def _coloured(line: str) -> Text:
    return Text(line, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))


def _fusion(group: dict[str, Any]) -> str:
    others = list(group["operators"])
    others.remove(group["anchor"])
    return f"{group['anchor']} <- {', '.join(others)}" if others else group["anchor"]


def fused(stages: list[Stage]) -> Stage:
    """The last stage, which has the fused groups. Raises `UserError` without one."""
    found = [stage for stage in stages if stage.groups]
    if not found:
        raise UserError("no stage has fused groups: the build ended before fusion. Build again with `tvm-bench build`.")
    return found[-1]


def _read(path: Path) -> Stage:
    number, _, name = path.stem.partition("-")
    try:
        entry = json.loads(path.read_text())
        lines = len(path.with_suffix(".txt").read_text().splitlines())
        counts = (entry["calls"], entry["casts"], entry["layout_transforms"], entry["dtypes"])
        return Stage(int(number), name, *counts, tuple(entry["groups"]), lines)
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"'{path}' is damaged ({error}). Build it again with `tvm-bench build`.") from error


def text(stage: Stage, artifact: Path) -> str:
    """The text of a stage."""
    paths = (artifact / folder / f"{stage.label}.txt" for folder in FOLDERS)
    return next(path for path in paths if path.exists()).read_text()


def _print_text(stage: Stage, artifact: Path, console: Console) -> None:
    printed = Text(text(stage, artifact))
    if console.is_terminal:
        with console.pager():
            console.print(printed, soft_wrap=True)
    else:
        console.print(printed, soft_wrap=True, end="")
