"""What the scripts beside this one measured: a JSON file in docs/results, and the page that is written from it.

python benchmarks/measured.py

writes all these pages again. Each script has the path of its file as RESULTS, and makes the page with `page(results)`.
"""

from __future__ import annotations

import datetime
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from tvm_bench.host import checkout, cpu
from tvm_bench.report import table

FOLDER = Path(__file__).parents[1] / "docs" / "results"
SCRIPTS = ("busy", "distillation", "fleet", "graph", "mixes", "schedules")


@click.command(help=__doc__)
def main() -> None:
    for name in SCRIPTS:
        script: ModuleType = importlib.import_module(name)
        write(script.RESULTS, script.page)


def keep(path: Path, page: Callable[[dict[str, Any]], str], **results: Any) -> None:
    """Write the results to `path`, with date, commit, CPU and threads, and then their page."""
    path.write_text(json.dumps({**about(), **results}, indent=1) + "\n")
    write(path, page)


def about() -> dict[str, Any]:
    """When, by which code and on which machine something is measured now."""
    commit = (checkout.commit() or "")[:8]
    return {"date": str(datetime.date.today()), "commit": commit, "cpu": cpu.model_name(), "threads": cpu.cores()}


def write(path: Path, page: Callable[[dict[str, Any]], str]) -> None:
    """Write the page of the results in `path` beside them."""
    path.with_suffix(".md").write_text(page(json.loads(path.read_text())))
    click.echo(str(path.with_suffix(".md")))


def origin(results: dict[str, Any], command: str) -> str:
    """The sentence that says where a page comes from."""
    return "`{}` wrote this page on {date} at commit {commit}: {cpu}, {threads} threads.".format(command, **results)


def lines_of(header: tuple[str, ...], lines: list[list[str]]) -> str:
    """A table without a title."""
    return table.markdown([table.Table("", header, lines)]).removeprefix(":\n\n")


if __name__ == "__main__":
    main()
