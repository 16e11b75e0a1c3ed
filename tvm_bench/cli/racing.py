"""The commands `bench`, `report` and `compare`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..api.run_spec import model_spec, run_spec
from ..spec.backends import COMPETING, DEFAULT, DEFAULT_OF_ONNX
from ..spec.constraints import Constraints
from .console import console, print_json
from .options import (
    ARTIFACTS,
    BACKEND_NAMES,
    FORMS,
    IMAGES,
    JSON,
    LIMITS,
    LOGS,
    MODEL_OPTIONS,
    SUBJECT,
    SWEPT_THREADS,
    with_options,
)
from .parsing import listed


@click.command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--backends",
    callback=listed(BACKEND_NAMES, COMPETING, modules=True),
    help=f"Of {', '.join(BACKEND_NAMES)}. relay-stock: Relay with TVM's own default schedules; null: computes nothing, "
    "to measure the overhead of the harness; all: all others. A dotted name is your own module, with a load() for ONNX "
    "files.  "
    "[default: eager,relay,onnxruntime; without eager for an .onnx file]",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Fresh processes per variant; the rounds of all variants are interleaved.",
)
@click.option("--samples", type=click.IntRange(1), default=40, show_default=True, help="Timed calls per process.")
@with_options(IMAGES, LIMITS, LOGS, SWEPT_THREADS, ARTIFACTS)
def bench(
    backends: tuple[str, ...],
    rounds: int,
    samples: int,
    images: int | None,
    max_drop: float | None,
    max_rss: float | None,
    p95: float | None,
    **common: Any,
) -> None:
    """Build every variant, check its answers, race them in interleaved rounds, and write the report.

    With constraints, the verdict names the variant to deploy and what would change that; without, the fastest variant
    and the Pareto front. Finished steps are not repeated. The results are saved after every round: the same command
    resumes an interrupted race. Those of earlier races are kept in the folder runs. Exits with 1 when a variant failed.
    """
    from ..pipeline import race

    spec, rules = run_spec(**common), race.Rules(rounds=rounds, samples=samples, images=images)
    backends = backends or (DEFAULT_OF_ONNX if spec.model_spec.is_onnx else DEFAULT)
    command = shlex.join(["tvm-bench", *sys.argv[1:]])
    results, files = race.run(spec, backends, rules, command, Constraints(max_drop, max_rss, p95))
    _print_report(results, files)
    sys.exit(1 if any(row.status == "failed" for row in results.variants) else 0)


@click.command()
@click.argument("results", type=click.Path(path_type=Path), required=False)
@with_options(MODEL_OPTIONS, LIMITS, ARTIFACTS)
def report(
    results: Path | None,
    max_drop: float | None,
    max_rss: float | None,
    p95: float | None,
    artifacts: Path,
    **model_options: Any,
) -> None:
    """Print the tables and the verdict of RESULTS (a results.json, or its folder), and write the report beside it.

    Without RESULTS, those of the model in the options. Constraints replace those of the race.
    """
    from .. import report as reports
    from ..analysis import results as stored

    path = _results_file(results or artifacts / model_spec(**model_options).slug)
    loaded = stored.load(path)
    if constraints := Constraints(max_drop, max_rss, p95).given():
        loaded = replace(loaded, settings={**loaded.settings, "limits": constraints})
    _print_report(loaded, reports.write(loaded, path.parent))


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="How much slower a variant may have become, as a share: 0.05 is 5 %.",
)
@with_options(JSON)
def compare(old: Path, new: Path | None, tolerance: float, as_json: bool) -> None:
    """Compare two races, OLD and NEW (a results.json or its folder), variant by variant.

    Without NEW, OLD is the folder of a model: its last race is compared with the one before.

    Exits with 1 on a regression: a variant that is clearly slower, by more than the tolerance, or that now fails.
    Results of different machines, thread counts or package versions are refused.
    """
    from ..analysis import compare as comparing
    from ..analysis import results as stored
    from ..pipeline import race_state
    from ..report import comparison

    old, new = (_results_file(old), _results_file(new)) if new else race_state.last_runs(old)
    changes = comparing.compare(stored.load(old), stored.load(new), tolerance)
    if as_json:
        print_json([{"name": c.name, "word": c.word, "ratio": c.ratio, "regressed": c.regressed} for c in changes])
    else:
        comparison.show(changes, old, new, console())
    sys.exit(1 if any(change.regressed for change in changes) else 0)


def _results_file(path: Path) -> Path:
    return path / "results.json" if path.is_dir() else path


def _print_report(results: Any, files: list[Path]) -> None:
    from ..report import summary_text, tables

    terminal = console()
    tables.show(results, terminal)
    summary_text.show(summary_text.summarize(results), terminal)
    for file in files:
        click.echo(str(file))
