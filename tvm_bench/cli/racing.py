"""The commands `bench`, `report` and `compare`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..api.run_spec import model_spec, run_spec
from ..host import manifest
from ..spec.backends import COMPETING, DEFAULT, DEFAULT_OF_ONNX
from ..spec.constraints import Constraints
from .console import console, print_json
from .help import command
from .options import (
    ARTIFACTS,
    BACKEND_NAMES,
    FORMS,
    IMAGES,
    JSON,
    LIMITS,
    LOGS,
    MODEL_OPTIONS,
    PLOT,
    SUBJECT,
    SWEPT_THREADS,
    with_options,
)
from .parsing import listed

LAST = Path("last")
QUICK = {"precision": ("fp32",), "rounds": 2, "samples": 20, "images": 100}


@command()
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
@click.option(
    "--quick",
    is_flag=True,
    help="A first answer in a minute or two: --precision fp32 --rounds 2 --samples 20 --images 100, unless given.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only print which steps would run, which results would be reused, and how long that took before.",
)
@with_options(IMAGES, LIMITS, LOGS, SWEPT_THREADS, ARTIFACTS, JSON)
@click.pass_context
def bench(
    context: click.Context,
    backends: tuple[str, ...],
    rounds: int,
    samples: int,
    images: int | None,
    max_drop: float | None,
    max_rss: float | None,
    max_p95: float | None,
    quick: bool,
    dry_run: bool,
    as_json: bool,
    **common: Any,
) -> None:
    """Build every variant, check its answers, race them in interleaved rounds, and write the report.

    With constraints, the verdict names the variant to deploy and what would change that; without, the fastest variant
    and the Pareto front. Finished steps are not repeated. The results are saved after every round: the same command
    resumes an interrupted race. Those of earlier races are kept in the folder runs. Exits with 1 when a variant failed.

    \b
    Examples:
      tvm-bench bench
      tvm-bench bench mobilenet_v2 --data imagefolder:photos --max-drop 0.5
      tvm-bench bench model.onnx --inputs synthetic --precision fp32 --quick
      tvm-bench bench --backends relay,onnxruntime,openvino --threads 1,2
    """
    from ..pipeline import race, race_plan

    if quick:
        chosen = {name: value for name, value in QUICK.items() if _by_default(context, name)}
        return context.invoke(bench, **{**context.params, **chosen, "quick": False})
    spec, rules = run_spec(**common), race.Rules(rounds=rounds, samples=samples, images=images)
    backends = backends or (DEFAULT_OF_ONNX if spec.model_spec.is_onnx else DEFAULT)
    if dry_run:
        return _print_plan(race_plan.plan(spec, backends, rules), as_json)
    command = shlex.join(["tvm-bench", *sys.argv[1:]])
    results, files = race.run(spec, backends, rules, command, Constraints(max_drop, max_rss, max_p95))
    _print_report(results, files, as_json)
    sys.exit(1 if any(row.status == "failed" for row in results.variants) else 0)


@command()
@click.argument("results", type=click.Path(path_type=Path), required=False)
@with_options(MODEL_OPTIONS, LIMITS, ARTIFACTS, JSON)
def report(
    results: Path | None,
    max_drop: float | None,
    max_rss: float | None,
    max_p95: float | None,
    artifacts: Path,
    as_json: bool,
    **model_options: Any,
) -> None:
    """Print the tables and the verdict of RESULTS (a results.json, or its folder), and write the report beside it.

    Without RESULTS, those of the model in the options. Constraints replace those of the race.

    \b
    Examples:
      tvm-bench report
      tvm-bench report artifacts/resnet18 --max-drop 0.5 --max-rss 300
      tvm-bench report race.json --json
    """
    from .. import report as reports
    from ..analysis import results as stored

    path = _results_file(results or artifacts / model_spec(**model_options).slug)
    loaded = stored.load(path)
    if constraints := Constraints(max_drop, max_rss, max_p95).given():
        loaded = replace(loaded, settings={**loaded.settings, "limits": constraints})
    _print_report(loaded, reports.write(loaded, path.parent), as_json)


@command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="How much slower a variant may have become, as a share: 0.05 is 5 %.",
)
@with_options(ARTIFACTS, PLOT, JSON)
def compare(old: Path, new: Path | None, tolerance: float, artifacts: Path, plot: Path | None, as_json: bool) -> None:
    """Compare two races, OLD and NEW (a results.json or its folder), variant by variant; or two libraries, by layer.

    Without NEW, OLD is the folder of a model: its last race is compared with the one before. OLD may be `last`, the
    folder of the model that was raced last.

    Exits with 1 on a regression: a variant that is clearly slower, by more than the tolerance, or that now fails.
    Results of different machines, thread counts or package versions are refused.

    The folders of two libraries of one model are run in turns: you see in which layers the milliseconds went. --plot
    draws their layers side by side.

    \b
    Examples:
      tvm-bench compare last
      tvm-bench compare before.json artifacts/resnet18 --tolerance 0.02
      tvm-bench compare artifacts/resnet18/fp32-relay artifacts/resnet18/int8-relay
    """
    if new and all((path / manifest.NAME).is_file() for path in (old, new)):
        return _compare_libraries(old, new, plot, as_json)
    if plot:
        raise click.UsageError("--plot draws the layers of two libraries; for races, see the plots in report.html.")
    from ..analysis import compare as comparing
    from ..analysis import results as stored
    from ..pipeline import race_state
    from ..report import comparison

    if old == LAST:
        old = race_state.last_raced(artifacts)
    old, new = (_results_file(old), _results_file(new)) if new else race_state.last_runs(old)
    changes = comparing.compare(stored.load(old), stored.load(new), tolerance)
    if as_json:
        print_json([{"name": c.name, "word": c.word, "ratio": c.ratio, "regressed": c.regressed} for c in changes])
    else:
        comparison.show(changes, old, new, console())
    sys.exit(1 if any(change.regressed for change in changes) else 0)


def _compare_libraries(old: Path, new: Path, plot: Path | None, as_json: bool) -> None:
    from ..pipeline import explanation
    from ..report import layer_changes, table

    comparison = explanation.compare(old, new)
    if plot:
        from ..report.plots import layers, style

        style.write(layers.draw(comparison, old.name, new.name), plot)
    if as_json:
        return print_json(layer_changes.to_json(comparison))
    console().print(table.rich_table(f"{new.name} against {old.name}", layer_changes.table(comparison)))
    click.echo(layer_changes.sentence(comparison))


def _results_file(path: Path) -> Path:
    return path / "results.json" if path.is_dir() else path


def _by_default(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.DEFAULT


def _print_plan(plan: Any, as_json: bool) -> None:
    from ..report import plan as report

    if as_json:
        return print_json(plan)
    report.show(plan, console())


def _print_report(results: Any, files: list[Path], as_json: bool) -> None:
    from ..report import summary_text, tables

    if as_json:
        return print_json({**summary_text.as_data(results), "files": files})
    terminal = console()
    tables.show(results, terminal)
    summary_text.show(summary_text.summarize(results), terminal)
    for file in files:
        click.echo(str(file))
