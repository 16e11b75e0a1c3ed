"""Compile a model, tune it, and look at what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..pipeline.steps import TUNERS
from .console import console
from .options import ARTIFACTS, FORMS, LOGS, SUBJECT, SWEPT_THREADS, THREADS, with_options
from .parsing import tracker
from .run_spec import run_spec


@click.command()
def doctor() -> None:
    """Say what is here, what is missing, and the command that brings it. Exits with 1 when `bench` cannot run."""
    from ..pipeline import doctor as doctors

    sys.exit(doctors.doctor(console()))


@click.command()
@click.option("--match", default="", help="Only names that contain this.")
@with_options(ARTIFACTS)
def models(match: str, artifacts: Path) -> None:
    """List the models that --model knows by name, and the embedded one."""
    from ..pipeline import compilation

    for name, note in compilation.model_names(artifacts):
        if match in name:
            click.echo(f"{name:28}{note}")


@click.command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--require-coverage",
    type=click.FloatRange(0, 1),
    help="Fail when tuning records cover a smaller share (0 to 1) of a tuned library's time.",
)
@with_options(LOGS, SWEPT_THREADS, ARTIFACTS)
def build(require_coverage: float | None, **given: Any) -> None:
    """Compile a model to artifacts/MODEL/VARIANT/lib.so, with its manifest and its Relay IR after each stage.

    Where there are tuning records, the tuned library is built too, and the shares of its time by record and default are
    printed.
    """
    from ..pipeline import compilation
    from ..report import tuning_summary

    for folder, shares in compilation.build(run_spec(given), require_coverage):
        click.echo(f"{folder}/lib.so" + (f"  ({tuning_summary.coverage(shares)})" if shares else ""))


@click.command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--tuner",
    type=click.Choice(["auto", *TUNERS]),
    default="auto",
    show_default=True,
    help="templates tries this project's schedules, in place; metaschedule searches; autoscheduler too, FP32 only; "
    "auto is templates, then metaschedule with what is left.",
)
@click.option("--trials", type=click.IntRange(1), default=400, show_default=True, help="Schedules to measure in all.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Minutes to spend on rounds in all; ends it before --trials does.",
)
@click.option("--again", is_flag=True, help="Begin anew; the records so far are kept under another name.")
@click.option(
    "--rpc-tracker", callback=tracker, metavar="HOST:PORT", help="Measure on the machines of a TVM RPC tracker."
)
@click.option("--rpc-key", default="cpu", show_default=True, help="The key that their servers gave to the tracker.")
@with_options(LOGS, SWEPT_THREADS, ARTIFACTS)
def tune(
    tuner: str, trials: int, minutes: float | None, again: bool, rpc_tracker: Any, rpc_key: str, **given: Any
) -> None:
    """Search faster kernels, build with what was found, and say whether it was worth it.

    The budget is for each precision, and what earlier runs spent counts. Records are kept after every few trials: stop
    it whenever, the same command goes on, and does nothing when the trials or the minutes are spent. `bench` then races
    MODEL/PRECISION-relay-tuned too.
    """
    from ..pipeline import tuning
    from ..report import tuning_summary

    rpc = {"host": rpc_tracker[0], "port": rpc_tracker[1], "key": rpc_key} if rpc_tracker else None
    for tuned in tuning.tune(run_spec(given), tuner, tuning.Budget(trials, minutes), rpc, again=again):
        tuning_summary.show(tuned, console())


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--stage", help="Print the Relay text of one stage (its number, or the beginning of its name).")
@click.option("--groups", is_flag=True, help="What was fused into what.")
@click.option("--diff", nargs=2, metavar="A B", help="What changed from stage A to stage B.")
@click.option("--profile", is_flag=True, help="Run it, and time each kernel in its place.")
def inspect(artifact: Path, stage: str | None, groups: bool, diff: tuple[str, str] | None, profile: bool) -> None:
    """What the compiler did to a model: stages of Relay IR, operators, fused groups, kernels."""
    from ..pipeline import compilation
    from ..relay_view import dumps, kernels

    if profile:
        console().print(kernels.profile_table(*compilation.profile(artifact)))
    else:
        dumps.show(artifact, groups=groups, diff=diff, stage=stage, console=console())


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes to print.")
@with_options(THREADS)
def run(artifact: Path, images: tuple[str, ...], top: int, threads: int) -> None:
    """Print the likeliest classes of each IMAGE, by the library in ARTIFACT."""
    from ..pipeline import prediction

    for image, answers in zip(images, prediction.classify(artifact, images, top, threads), strict=True):
        click.echo(image)
        for answer in answers:
            click.echo(f"  {answer['probability']:7.2%}  {answer['class']}")
