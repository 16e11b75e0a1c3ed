"""The commands `doctor`, `models`, `build`, `tune`, `inspect` and `run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..api.run_spec import run_spec
from ..pipeline.workbench import TUNERS
from ..spec.sizes import Sizes
from .console import console, print_json
from .help import command
from .options import ARTIFACTS, FORMS, JSON, LOGS, PLOT, SIZES, SUBJECT, SWEPT_THREADS, THREADS, TVM, with_options
from .parsing import tracker


@command()
@with_options(JSON)
def doctor(as_json: bool) -> None:
    """Check this machine, and print how to install what is missing. Exits with 1 if `bench` cannot run.

    \b
    Examples:
      tvm-bench doctor
      tvm-bench doctor --json
      tvm-bench doctor --output machine.json
    """
    from ..pipeline import doctor as doctors

    found = doctors.checks()
    if as_json:
        print_json(found)
    else:
        doctors.show(found, console())
    sys.exit(1 if doctors.lacking(found) else 0)


@command()
@click.option("--match", default="", help="List only names that contain this text.")
@with_options(JSON, ARTIFACTS)
def models(match: str, as_json: bool, artifacts: Path) -> None:
    """List the models that --model knows by name.

    \b
    Examples:
      tvm-bench models
      tvm-bench models --match mobilenet
      tvm-bench models --json
    """
    from ..pipeline import compilation

    found = {name: note for name, note in compilation.model_names(artifacts) if match in name}
    if as_json:
        return print_json(found)
    for name, note in found.items():
        click.echo(f"{name:28}{note}")


@command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--require-coverage",
    type=click.FloatRange(0, 1),
    help="Fail if tuning records cover a smaller share (0 to 1) of a tuned library's run time.",
)
@with_options(TVM, LOGS, SWEPT_THREADS, ARTIFACTS)
def build(require_coverage: float | None, backend: str, **common: Any) -> None:
    """Compile a model to artifacts/MODEL/VARIANT/lib.so, with a manifest and the IR after each stage.

    If there are tuning records, the tuned library is built too. Its run time is printed by schedule source.

    \b
    Examples:
      tvm-bench build
      tvm-bench build resnet50 --weights random --precision fp32 --target 'llvm -mcpu=znver4'
      tvm-bench build model.onnx --data imagefolder:photos --precision int8
    """
    from ..pipeline import compilation
    from ..report import tuning_summary

    for folder, shares in compilation.build(run_spec(**common), require_coverage, backend):
        click.echo(f"{folder}/lib.so" + (f"  ({tuning_summary.coverage(shares)})" if shares else ""))


@command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--tuner",
    type=click.Choice(["auto", *TUNERS["relay"]]),
    default="auto",
    show_default=True,
    help="templates times this project's schedules inside the whole model; metaschedule and autoscheduler (FP32 only) "
    "search; auto: templates first, then metaschedule with the remaining trials (can take hours). Relax has only "
    "metaschedule.",
)
@with_options(TVM)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="Schedules to measure, including earlier runs.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Minutes to spend in all runs. Tuning stops when --trials or --minutes are used up.",
)
@click.option("--again", is_flag=True, help="Start from scratch; existing records are renamed, not deleted.")
@click.option(
    "--rpc-tracker", callback=tracker, metavar="HOST:PORT", help="Measure on the machines of a TVM RPC tracker."
)
@click.option("--rpc-key", default="cpu", show_default=True, help="The key of the servers at the tracker.")
@with_options(LOGS, SWEPT_THREADS, ARTIFACTS, PLOT, JSON)
def tune(
    tuner: str,
    backend: str,
    trials: int,
    minutes: float | None,
    again: bool,
    rpc_tracker: Any,
    rpc_key: str,
    plot: Path | None,
    as_json: bool,
    **common: Any,
) -> None:
    """Search for faster kernels, build the tuned library, and print whether it is faster.

    Each precision has its own budget, and earlier runs count. Records are saved after every few trials: you can stop
    at any time, and the same command resumes. It does nothing if the budget is used up. Afterwards `bench` also races
    MODEL/PRECISION-relay-tuned (or relax-tuned). --plot draws the times that the search found, step by step.

    \b
    Examples:
      tvm-bench tune --tuner templates
      tvm-bench tune model.onnx --inputs synthetic --precision fp32 --minutes 60
      tvm-bench tune --backend relax --trials 200 --plot tuning.png
    """
    from ..pipeline import tuning
    from ..report import tuning_summary

    rpc = {"host": rpc_tracker[0], "port": rpc_tracker[1], "key": rpc_key} if rpc_tracker else None
    found = tuning.tune(run_spec(**common), tuner, tuning.Budget(trials, minutes), rpc, again=again, backend=backend)
    if plot:
        from ..report.plots import style
        from ..report.plots import tuning as tuning_plot

        style.write(tuning_plot.draw(found), plot)
    if as_json:
        return print_json([tuning_summary.to_json(tuned) for tuned in found])
    for tuned in found:
        tuning_summary.show(tuned, console())


@command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--stage", help="Print the Relay text of one stage (its number, or the start of its name).")
@click.option("--groups", is_flag=True, help="Print the fused groups of operators.")
@click.option("--diff", nargs=2, metavar="A B", help="Print the differences between stages A and B.")
@click.option("--profile", is_flag=True, help="Run the library, and time each kernel.")
@with_options(PLOT, JSON)
def inspect(
    artifact: Path,
    stage: str | None,
    groups: bool,
    diff: tuple[str, str] | None,
    profile: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Show what the compiler did to a model: stages of Relay IR, operators, fused groups, kernels.

    --plot draws the fused groups, and which of them reads the output of which.

    \b
    Examples:
      tvm-bench inspect artifacts/resnet18/int8-relay --groups
      tvm-bench inspect artifacts/resnet18/int8-relay --diff 1 2
      tvm-bench inspect artifacts/resnet18/int8-relay --profile
    """
    from ..pipeline import compilation
    from ..relay_view import dumps, kernels

    if as_json and (stage or diff):
        raise click.UsageError("--json is for the tables: give it alone, with --groups, or with --profile.")
    if plot:
        from ..report.plots import fusion, style

        style.write(fusion.draw(dumps.fused(dumps.stages(artifact)).groups, artifact.name), plot)
    if profile:
        measured = compilation.profile(artifact)
        if as_json:
            return print_json(kernels.rows(*measured))
        console().print(kernels.profile_table(*measured))
    elif as_json:
        stages = dumps.stages(artifact)
        print_json(dumps.fused(stages).groups if groups else stages)
    else:
        dumps.show(artifact, groups=groups, diff=diff, stage=stage, console=console())


@command()
@click.argument("artifact", type=click.Path(path_type=Path))
@with_options(SIZES, THREADS, PLOT, JSON)
@click.pass_context
def explain(
    context: click.Context,
    artifact: Path,
    input_shape: Any,
    dims: Any,
    threads: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Say what limits each kernel of a library, and what would make it faster.

    The machine code of the library is read, and the library is run. For each kernel you get its milliseconds, how much
    of the limit of this CPU it reaches, by arithmetic or by memory, and the instructions of its hottest loop. What the
    CPU can do is measured in the same minute. A library for another CPU is only read. --plot draws the roofline.

    An ONNX file is run in ONNX Runtime: you see what it computes in integers, what in floats, and why. --input-shape,
    --dim and --threads are for such files.

    \b
    Examples:
      tvm-bench explain artifacts/resnet18/int8-relay
      tvm-bench explain artifacts/resnet18/int8-relay --plot roofline.png
      tvm-bench explain model-int8.onnx --threads 2
    """
    from ..pipeline import explanation as pipeline
    from ..report import explanation as report
    from ..report import onnx_session, table

    if artifact.suffix == ".onnx":
        if plot:
            raise click.UsageError("--plot draws the kernels of a library, and this is an ONNX file.")
        image, shapes = input_shape
        session = pipeline.explain_onnx(artifact, Sizes(image, dict(shapes), dict(dims)), threads)
        if as_json:
            return print_json(onnx_session.to_json(session))
        tables, sentences = [onnx_session.table(session)], onnx_session.sentences(session)
    else:
        if any(
            context.get_parameter_source(n) is not ParameterSource.DEFAULT for n in ("input_shape", "dims", "threads")
        ):
            raise click.UsageError(
                "--input-shape, --dim and --threads are for ONNX files: a library has them built in."
            )
        found = pipeline.explain(artifact)
        if plot:
            from ..report.plots import roofline, style

            if figure := roofline.draw(found, artifact.name):
                style.write(figure, plot)
            else:
                click.echo(f"{plot} was not drawn: no kernel with known operations was run.", err=True)
        if as_json:
            return print_json(report.to_json(found))
        tables, sentences = report.tables(found), report.sentences(found)
    for shown in tables:
        console().print(table.rich_table(artifact.name, shown))
    click.echo("\n".join(sentences))


@command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Number of classes to print.")
@with_options(THREADS, JSON)
def run(artifact: Path, images: tuple[str, ...], top: int, threads: int, as_json: bool) -> None:
    """Classify each IMAGE with the library in ARTIFACT, and print the most likely classes.

    \b
    Examples:
      tvm-bench run artifacts/resnet18/int8-relay shirt.png
      tvm-bench run artifacts/resnet18/int8-relay cat.jpg dog.jpg --top 1
      tvm-bench run artifacts/resnet18/int8-relay shirt.png --threads 1 --json
    """
    from ..pipeline import prediction

    found = list(zip(images, prediction.classify(artifact, images, top, threads), strict=True))
    if as_json:
        return print_json([{"image": image, "classes": answers} for image, answers in found])
    for image, answers in found:
        click.echo(image)
        for answer in answers:
            click.echo(f"  {answer['probability']:7.2%}  {answer['class']}")
