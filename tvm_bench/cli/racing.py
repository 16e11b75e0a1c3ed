"""Race variants, and report on races."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..spec.backends import COMPETING
from .console import console
from .options import ARTIFACTS, BACKEND_NAMES, FORMS, IMAGES, LIMITS, LOGS, SUBJECT, SWEPT_THREADS, with_options
from .parsing import listed
from .run_spec import limits, model_spec, run_spec


@click.command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--backends",
    callback=listed(BACKEND_NAMES, COMPETING, modules=True),
    help=f"Of {', '.join(BACKEND_NAMES)}. relay-stock is Relay with TVM's own default schedules; null shows what the "
    "harness itself costs; all is every other. A dotted name is a module of yours with a load() for ONNX files.  "
    "[default: eager,relay,onnxruntime; without eager for an .onnx file]",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Fresh processes for each variant, interleaved.",
)
@click.option(
    "--samples", type=click.IntRange(1), default=40, show_default=True, help="Timed calls in each of the processes."
)
@with_options(IMAGES, LIMITS, LOGS, SWEPT_THREADS, ARTIFACTS)
def bench(**given: Any) -> None:
    """Build every variant, check its answers, race them in interleaved rounds, and write the report.

    With limits, it ends in the variant to deploy under them and what would change that; without, in the fastest and the
    Pareto front. Finished steps are not repeated; latencies are always measured anew. Exits with 1 when a variant
    failed.
    """
    from ..pipeline import race

    asked, allowed, backends = run_spec(given), limits(given), given.pop("backends")
    backends = backends or (() if asked.model_spec.is_onnx else ("eager",)) + ("relay", "onnxruntime")
    command = shlex.join(["tvm-bench", *sys.argv[1:]])
    results, files = race.run(asked, backends, race.Rules(**given), command, allowed)
    _print_report(results, files)
    sys.exit(1 if any(row.status == "failed" for row in results.variants) else 0)


@click.command()
@click.argument("results", type=click.Path(path_type=Path), required=False)
@with_options(SUBJECT, LIMITS, ARTIFACTS)
def report(results: Path | None, **given: Any) -> None:
    """Print the tables and the verdict of RESULTS (a results.json, or its folder) again; write the report beside it.

    Without RESULTS, those of the model that the options name. Constraints replace those of the race.
    """
    from .. import report as reports
    from ..analysis import results as stored

    allowed = limits(given).given()
    path = _results_file(results or given.pop("artifacts") / model_spec(given).slug)
    loaded = stored.load(path)
    if allowed:
        loaded = replace(loaded, settings={**loaded.settings, "limits": allowed})
    _print_report(loaded, reports.write(loaded, path.parent))


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="How much slower, as a share, a variant may have become.",
)
def compare(old: Path, new: Path, tolerance: float) -> None:
    """Say what became faster or slower from OLD to NEW (a results.json each, or its folder), variant by variant.

    Exits with 1 on a regression: a variant that is clearly slower, by more than the tolerance, or that fails now.
    Results of unlike machines, threads or versions are refused.
    """
    from ..analysis import compare as comparing
    from ..analysis import results as stored
    from ..report import comparison

    files = _results_file(old), _results_file(new)
    changes = comparing.compare(*map(stored.load, files), tolerance)
    comparison.show(changes, *files, console())
    sys.exit(1 if any(change.regressed for change in changes) else 0)


def _results_file(given: Path) -> Path:
    return given / "results.json" if given.is_dir() else given


def _print_report(results: Any, files: list[Path]) -> None:
    from ..report import summary_text, tables

    terminal = console()
    tables.show(results, terminal)
    summary_text.show(results, terminal)
    for file in files:
        click.echo(str(file))
