"""The command line: parse, call one function, print."""

from __future__ import annotations

import errno
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from . import __version__
from .backends import COMPETING
from .errors import UserError
from .launch import JobError
from .options import (
    ARTIFACTS,
    BACKEND_NAMES,
    FORMS,
    LIMITS,
    LOGS,
    SUBJECT,
    SWEPT_THREADS,
    THREADS,
    compression,
    limits,
    listed,
    order,
    tracker,
    with_options,
)
from .workbench import TUNERS

PIPE_WIDTH = 132
WRITING_FAILED = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EPERM}


class Commands(click.Group):
    """Turns what users can mend into one clear line and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            _fail(str(error), 2)
        except JobError as error:
            _fail(str(error), 1)
        except OSError as error:
            if error.errno not in WRITING_FAILED:
                raise
            _fail(f"cannot write: {error}. Free some space, or give an --artifacts folder that can be written to.", 2)


def _fail(message: str, code: int) -> None:
    click.echo(f"tvm-bench: {message}", err=True)
    sys.exit(code)


def _console() -> Any:
    """The terminal; in a file or a pipe, which has no width, wide enough for the tables."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Compile a CNN with Apache TVM and measure it, fairly, beside what else runs it on a CPU.

    \b
    tvm-bench doctor                      is everything here that is needed?
    tvm-bench bench                       build, check and race the default model
    tvm-bench bench --model mobilenet_v2 --weights random --precision fp32
    tvm-bench report artifacts/resnet18 --max-drop 0.5 --max-rss 300
    tvm-bench build --precision int8      only build artifacts/resnet18/int8-relay
    tvm-bench inspect artifacts/resnet18/int8-relay --groups
    tvm-bench run artifacts/resnet18/int8-relay shirt.png
    """


@main.command()
def doctor() -> None:
    """Say what is here, what is missing, and the command that brings it. Exits with 1 when `bench` cannot run."""
    from . import doctor as doctors

    sys.exit(doctors.doctor(_console()))


@main.command()
@click.option("--match", default="", help="Only names that contain this.")
@with_options(ARTIFACTS)
def models(match: str, artifacts: Path) -> None:
    """List the models that --model knows by name, and the embedded one."""
    from . import commands

    for name, note in commands.model_names(artifacts):
        if match in name:
            click.echo(f"{name:28}{note}")


@main.command()
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
    from . import commands
    from .report import tasks

    for folder, shares in commands.build(order(given), require_coverage):
        click.echo(f"{folder}/lib.so" + (f"  ({tasks.coverage(shares)})" if shares else ""))


@main.command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--backends",
    callback=listed(BACKEND_NAMES, COMPETING),
    default="eager,relay,onnxruntime",
    show_default=True,
    help=f"Of {', '.join(BACKEND_NAMES)}. relay-stock is Relay with TVM's own default schedules; null shows what the "
    "harness itself costs; all is every other.",
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
@click.option(
    "--images", type=click.IntRange(1), help="Check the answers on so many test pictures only.  [default: all]"
)
@with_options(LIMITS, LOGS, SWEPT_THREADS, ARTIFACTS)
def bench(**given: Any) -> None:
    """Build every variant, check its answers, race them in interleaved rounds, and write the report.

    With limits, it ends in the variant to deploy under them and what would change that; without, in the fastest and the
    Pareto front. Finished steps are not repeated; latencies are always measured anew. Exits with 1 when a variant
    failed.
    """
    from . import race

    asked, allowed, backends = order(given), limits(given), given.pop("backends")
    command = shlex.join(["tvm-bench", *sys.argv[1:]])
    results, files = race.run(asked, backends, race.Rules(**given), command, allowed)
    _print_report(results, files)
    sys.exit(1 if any(row.status == "failed" for row in results.variants) else 0)


@main.command()
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
@click.option("--minutes", type=float, help="Stop after so many minutes, whatever is left of the trials.")
@click.option(
    "--rpc-tracker", callback=tracker, metavar="HOST:PORT", help="Measure on the machines of a TVM RPC tracker."
)
@click.option("--rpc-key", default="cpu", show_default=True, help="The key that their servers gave to the tracker.")
@with_options(LOGS, SWEPT_THREADS, ARTIFACTS)
def tune(tuner: str, trials: int, minutes: float | None, rpc_tracker: Any, rpc_key: str, **given: Any) -> None:
    """Search faster kernels, build with what was found, and say whether it was worth it.

    The budget is for each precision. Records are kept after every few trials: stop it whenever, the same command goes
    on, and does nothing when the trials are spent. `bench` then races MODEL/PRECISION-relay-tuned too.
    """
    from . import tuning
    from .report import tasks

    rpc = {"host": rpc_tracker[0], "port": rpc_tracker[1], "key": rpc_key} if rpc_tracker else None
    for tuned in tuning.tune(order(given), tuner, tuning.Budget(trials, minutes), rpc):
        tasks.show(tuned, _console())


@main.command()
@with_options(SUBJECT)
@click.option("--epochs", type=click.FloatRange(0), default=1.0, show_default=True, help="Of each step that trains.")
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="The highest learning rate of the cosine.  [default: prune 0.01, distill 0.02, from scratch 0.1, qat 0.001]",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--layers", metavar="NAME,…", help="Prune these layers only.  [default: all that can be]")
@click.option("--teacher", help="The model that distillation learns from, such as resnet50.")
@click.option("--teacher-weights", default="default", show_default=True, help="As --weights, for the teacher.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), default=4.0, show_default=True)
@click.option(
    "--alpha", type=click.FloatRange(0, 1), default=0.9, show_default=True, help="Weight of the teacher's answers."
)
@click.option(
    "--images", type=click.IntRange(1), help="Check the answers on so many test pictures only.  [default: all]"
)
@with_options(THREADS, ARTIFACTS)
def compress(images: int | None, **given: Any) -> None:
    """Compress a model by a --recipe, and show what that did to it, layer by layer.

    \b
    A recipe joins techniques with +, done from left to right:
      distill, distill-scratch     learn from --teacher, from the weights as they are or from new ones
      prune-structured50           remove half of the filters of each layer
      prune-unstructured90         set nine of ten weights to zero
      prune-2:4                    set two of each four weights to zero
      …-iterative, …-iterative5    the same in 3, or 5, rounds of pruning and training (2:4: in two)
      kmeans256                    at most 256 different weights in a layer, stored as codebook and indices
      int8[-per-channel|-per-tensor][-minmax|-histogram|-entropy]   static quantization
      qat[-per-channel|-per-tensor]                                 quantization-aware training
      int8-dynamic, fp16-dynamic                                    of linear layers
    Then `tvm-bench bench --recipe …` races it on every backend, and `build` compiles it. A training that was stopped
    goes on where it was.
    """
    from . import commands
    from .report import compression as shown

    found, folder = commands.compress(compression(given), images)
    shown.show(found, _console())
    for file in shown.write(found, folder):
        click.echo(str(file))


@main.command()
@with_options(SUBJECT, FORMS)
@click.option("--calls", type=click.IntRange(1), default=10, show_default=True, help="Calls to average.")
@click.option("--top", type=click.IntRange(1), default=12, show_default=True, help="Operators to print.")
@with_options(THREADS, ARTIFACTS)
def operators(calls: int, top: int, **given: Any) -> None:
    """Where the time and the memory of eager PyTorch go, operator by operator, by torch.profiler.

    By itself it compares FP32 with dynamic FP16, dynamic INT8 and static INT8.
    """
    from . import commands
    from .report import compression as shown

    asked = order(given, precisions=("fp32", "fp16-dynamic", "int8-dynamic", "int8"))
    shown.show_operators(asked.subject.slug, commands.operators(asked, calls), top, _console())


@main.command()
@click.argument("results", type=click.Path(path_type=Path), default=Path("artifacts/resnet18/results.json"))
@with_options(LIMITS)
def report(results: Path, **given: Any) -> None:
    """Print the tables and the verdict of RESULTS (a results.json, or its folder) again; write the report beside it.

    Limits stand in for those of the race.
    """
    from . import report as reports
    from . import results as stored

    path = _results_file(results)
    loaded = stored.load(path)
    if allowed := limits(given).given():
        loaded = replace(loaded, settings={**loaded.settings, "limits": allowed})
    _print_report(loaded, reports.write(loaded, path.parent))


@main.command()
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
    from . import results as stored
    from .report import compare as comparison

    files = _results_file(old), _results_file(new)
    changes = comparison.compare(*map(stored.load, files), tolerance)
    comparison.show(changes, *files, _console())
    sys.exit(1 if any(change.regressed for change in changes) else 0)


def _results_file(given: Path) -> Path:
    return given / "results.json" if given.is_dir() else given


def _print_report(results: Any, files: list[Path]) -> None:
    from .report import numbers, words

    console = _console()
    numbers.show(results, console)
    words.show(results, console)
    for file in files:
        click.echo(str(file))


@main.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--stage", help="Print the Relay text of one stage (its number, or the beginning of its name).")
@click.option("--groups", is_flag=True, help="What was fused into what.")
@click.option("--diff", nargs=2, metavar="A B", help="What changed from stage A to stage B.")
@click.option("--profile", is_flag=True, help="Run it, and time each kernel in its place.")
def inspect(artifact: Path, stage: str | None, groups: bool, diff: tuple[str, str] | None, profile: bool) -> None:
    """What the compiler did to a model: stages of Relay IR, operators, fused groups, kernels."""
    from . import commands
    from .inspect import kernels, relay_dumps

    if profile:
        _console().print(kernels.profile_table(*commands.profile(artifact)))
    else:
        relay_dumps.show(artifact, groups=groups, diff=diff, stage=stage, console=_console())


@main.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes to print.")
@with_options(THREADS)
def run(artifact: Path, images: tuple[str, ...], top: int, threads: int) -> None:
    """Print the likeliest classes of each IMAGE, by the library in ARTIFACT."""
    from . import commands

    for image, answers in zip(images, commands.classify(artifact, images, top, threads), strict=True):
        click.echo(image)
        for answer in answers:
            click.echo(f"  {answer['probability']:7.2%}  {answer['class']}")


@main.command()
@click.option(
    "--model",
    default="resnet18",
    show_default=True,
    help="A torchvision classifier, a form of one (resnet18-cifar, resnet50-quantizable), or package.module:callable.",
)
@click.option(
    "--weights",
    default="random",
    show_default=True,
    help="Where to begin: random, imagenet, or a file to fine-tune. A last layer for other classes begins anew.",
)
@click.option(
    "--data",
    default="fashion-mnist",
    show_default=True,
    help="fashion-mnist, cifar10, cifar100, indoor67 (each with :PATH where it is not in ./data), or imagefolder:PATH.",
)
@click.option("--epochs", type=click.FloatRange(0, min_open=True), default=10, show_default=True)
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True, help="Of all processes together.")
@click.option("--lr", type=float, help="The highest rate of the cosine.  [default: 0.1 from random weights, else 0.01]")
@click.option("--image-size", type=click.IntRange(8), help="Pixels a side.  [default: 32 for a CIFAR stem, else 224]")
@click.option(
    "--stages",
    metavar="SIZE:EPOCHS,…",
    help="In the place of --epochs and --image-size: sizes in order and epochs at each, such as 64:6,112:2,224:0.5.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Epochs without a better validation loss before it ends early.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--amp/--no-amp", default=True, help="FP16 on CUDA, BF16 on a CPU that has it.  [default: on]")
@click.option("--distributed", is_flag=True, help="One process of several, started by torchrun.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the weights go.  [default: ARTIFACTS/MODEL/training/DATA/DATA.safetensors]",
)
@with_options(THREADS, ARTIFACTS)
def train(model: str, data: str, out: Path | None, threads: int, artifacts: Path, **options: Any) -> None:
    """Train a classifier, from scratch or from weights; stop it whenever, the same command goes on where it was.

    SGD with momentum, weight decay and one cosine. One training picture in twelve is held out for validation, and the
    weights of the best validation loss are kept. On CIFAR, a ResNet gets the stem for 32x32 pictures (resnet18-cifar)
    unless --weights imagenet or --image-size ask for the other. Beside the weights: checkpoint.pt, history.json and
    training_history.png. On several CPUs or GPUs: torchrun --nproc-per-node 2 -m tvm_bench train --distributed
    """
    from . import commands

    found = commands.train(model, data, options, out, threads=threads, root=artifacts)
    if found:
        scored = f"Top-1 {found['top1']:.2%}, Top-5 {found['top5']:.2%} on {found['images']} test pictures"
        click.echo(f"{scored}: {found['weights']}")
        subject = ["--model", found["model"], "--weights", found["weights"], "--data", data]
        click.echo(f"next: {shlex.join(['tvm-bench', 'bench', *subject])}")
