"""The command line: parse, call one function, print."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from . import __version__, cpu
from .errors import UserError
from .launch import JobError
from .variant import PRECISIONS, Subject

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


def _shape(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    if value is None:
        return None
    sizes = value.replace("x", ",").split(",")
    if len(sizes) == 4 and sizes[0] == "1":
        sizes = sizes[1:]
    if len(sizes) != 3 or not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise click.BadParameter(f"'{value}': give channels,height,width, such as 3,224,224.")
    channels, height, width = map(int, sizes)
    return channels, height, width


def _threads(context: click.Context, option: click.Parameter, value: int | None) -> int:
    cores = cpu.cores()
    if value is not None and not 1 <= value <= cores:
        raise click.BadParameter(f"{value}: this process may use {cores} cores; give 1 to {cores}.")
    return value or cores


def _listed(allowed: tuple[str, ...]) -> Callable:
    def parse(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
        from .errors import unknown

        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        for name in names:
            if name not in allowed:
                raise click.BadParameter(str(unknown(str(option.name), name, allowed)))
        if not names:
            raise click.BadParameter(f"give at least one of {', '.join(allowed)}.")
        return names

    return parse


BACKEND_NAMES = ("eager", "relay", "onnxruntime", "null")
_SUBJECT = (
    click.option(
        "--model",
        default="resnet18",
        show_default=True,
        help="A torchvision classifier, a path to an .onnx file, or package.module:callable that returns an nn.Module.",
    ),
    click.option(
        "--weights",
        default="default",
        show_default=True,
        help="default (the embedded ones, the callable's own, or ImageNet's), imagenet, random, or a .safetensors or .pt state dict.",
    ),
    click.option(
        "--input-shape", callback=_shape, metavar="C,H,W", help="Size of the input, where the model does not tell."
    ),
    click.option(
        "--data",
        help="fashion-mnist (2,000 embedded test pictures), fashion-mnist:full, or imagefolder:PATH.  [default: fashion-mnist for the embedded model, else none]",
    ),
)
_RUNNING = (
    click.option(
        "--threads", type=int, callback=_threads, help="Threads for every backend alike.  [default: all cores]"
    ),
    click.option(
        "--artifacts",
        type=click.Path(path_type=Path),
        default=Path("artifacts"),
        show_default=True,
        help="Where everything is written.",
    ),
)


def _with(*groups: tuple) -> Callable:
    def decorate(function: Callable) -> Callable:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


def _subject(model: str, weights: str, input_shape: tuple[int, int, int] | None, data: str | None) -> Subject:
    embedded = Path(__file__).parent / "models" / "embedded" / f"{model}-fashion-mnist.safetensors"
    if data is None and weights == "default" and embedded.exists():
        data = "fashion-mnist"
    return Subject(model, weights, input_shape, data)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Compile a CNN with Apache TVM and measure it, fairly, beside what else runs it on a CPU.

    \b
    tvm-bench doctor                      is everything here that is needed?
    tvm-bench bench                       build, check and race the default model
    tvm-bench bench --model mobilenet_v2 --weights random --precision fp32
    tvm-bench build --precision int8      only build artifacts/resnet18/int8-relay
    tvm-bench inspect artifacts/resnet18/int8-relay --groups
    tvm-bench run artifacts/resnet18/int8-relay shirt.png
    """


@main.command()
def doctor() -> None:
    """Say what is here, what is missing, and the command that brings it. Exits with 1 when `bench` cannot run."""
    from rich.console import Console

    from . import toolchains

    sys.exit(toolchains.doctor(Console()))


@main.command()
@click.option("--match", default="", help="Only names that contain this.")
@_with(_RUNNING[1:])
def models(match: str, artifacts: Path) -> None:
    """List the models that --model knows by name, and the embedded one."""
    from . import commands

    for name, note in commands.model_names(artifacts):
        if match in name:
            click.echo(f"{name:28}{note}")


@main.command()
@_with(_SUBJECT)
@click.option(
    "--precision", callback=_listed(PRECISIONS), default="fp32,int8", show_default=True, help="fp32, int8, or both."
)
@click.option(
    "--frontend",
    type=click.Choice(["onnx", "pytorch"]),
    help="Which way into Relay.  [default: the faster, see README]",
)
@click.option("--target", help="TVM target, such as 'llvm -mcpu=skylake-avx512'.  [default: this CPU]")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Pictures a call.")
@_with(_RUNNING)
def build(
    model: str,
    weights: str,
    input_shape: tuple[int, int, int] | None,
    data: str | None,
    precision: tuple[str, ...],
    frontend: str | None,
    target: str | None,
    batch: int,
    threads: int,
    artifacts: Path,
) -> None:
    """Compile a model to artifacts/MODEL/VARIANT/lib.so, with its manifest and its Relay IR after each stage."""
    from . import commands

    subject = _subject(model, weights, input_shape, data)
    for folder in commands.build(
        subject, precision, frontend, target=target, batch=batch, threads=threads, root=artifacts
    ):
        click.echo(f"{folder}/lib.so")


@main.command()
@_with(_SUBJECT)
@click.option(
    "--precision", callback=_listed(PRECISIONS), default="fp32,int8", show_default=True, help="fp32, int8, or both."
)
@click.option(
    "--backends",
    callback=_listed(BACKEND_NAMES),
    default="eager,relay,onnxruntime",
    show_default=True,
    help=f"Of {', '.join(BACKEND_NAMES)}; null shows what the harness itself costs.",
)
@click.option(
    "--frontend",
    type=click.Choice(["onnx", "pytorch"]),
    help="Which way into Relay.  [default: the faster, see README]",
)
@click.option("--target", help="TVM target.  [default: this CPU]")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Pictures a call.")
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Fresh processes for each variant, interleaved.",
)
@click.option("--samples", type=click.IntRange(1), default=40, show_default=True, help="Timed calls in each of them.")
@click.option("--images", type=click.IntRange(1), help="Check answers on so many test pictures only.  [default: all]")
@_with(_RUNNING)
def bench(
    model: str,
    weights: str,
    input_shape: tuple[int, int, int] | None,
    data: str | None,
    precision: tuple[str, ...],
    backends: tuple[str, ...],
    frontend: str | None,
    target: str | None,
    batch: int,
    rounds: int,
    samples: int,
    images: int | None,
    threads: int,
    artifacts: Path,
) -> None:
    """Build every variant, check its answers, race them in interleaved rounds, and write the report.

    Finished steps are not repeated; latencies are always measured anew. Exits with 1 when a variant failed.
    """
    from . import race

    subject = _subject(model, weights, input_shape, data)
    rules = race.Rules(rounds=rounds, samples=samples, images=images)
    command = shlex.join(["tvm-bench", *sys.argv[1:]])
    results, files = race.run(
        subject,
        precision,
        backends,
        frontend,
        rules,
        target=target,
        batch=batch,
        threads=threads,
        root=artifacts,
        command=command,
    )
    _print_report(results, files)
    sys.exit(1 if any(row.status == "failed" for row in results.variants) else 0)


@main.command()
@click.argument("results", type=click.Path(path_type=Path), default=Path("artifacts/resnet18/results.json"))
def report(results: Path) -> None:
    """Print the tables of RESULTS (a results.json, or its folder) again, and write report.md and the plots beside it."""
    from . import report as reports
    from . import results as stored

    path = results / "results.json" if results.is_dir() else results
    loaded = stored.load(path)
    _print_report(loaded, reports.write(loaded, path.parent))


def _print_report(results: Any, files: list[Path]) -> None:
    from rich.console import Console

    from .report import table

    console = Console()
    table.show(results, console)
    for file in files:
        click.echo(str(file))


@main.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--stage", help="Print the Relay text of one stage (its number, or the beginning of its name).")
@click.option("--groups", is_flag=True, help="What was fused into what.")
@click.option("--diff", nargs=2, metavar="A B", help="What changed from stage A to stage B.")
def inspect(artifact: Path, stage: str | None, groups: bool, diff: tuple[str, str] | None) -> None:
    """Read the Relay IR of ARTIFACT: its stages, its operators, what was fused, what a stage changed."""
    from rich.console import Console

    from .inspect import relay_dumps

    relay_dumps.show(artifact, groups=groups, diff=diff, stage=stage, console=Console())


@main.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes to print.")
@click.option("--threads", type=int, callback=_threads, help="Threads.  [default: all cores]")
def run(artifact: Path, images: tuple[str, ...], top: int, threads: int) -> None:
    """Print the likeliest classes of each IMAGE, by the library in ARTIFACT."""
    from . import commands

    for image, answers in zip(images, commands.classify(artifact, images, top, threads), strict=True):
        click.echo(image)
        for answer in answers:
            click.echo(f"  {answer['probability']:7.2%}  {answer['class']}")


@main.command()
@click.option("--model", default="resnet18", show_default=True, help="A torchvision classifier.")
@click.option("--data", default="fashion-mnist", show_default=True, help="fashion-mnist or imagefolder:PATH.")
@click.option(
    "--stages",
    default="64:6,112:2,224:0.5",
    show_default=True,
    metavar="SIZE:EPOCHS,…",
    help="Picture sizes in order, and epochs at each.",
)
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True)
@click.option("--lr", type=float, default=0.1, show_default=True, help="The highest learning rate of the cosine.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the weights go.  [default: ARTIFACTS/MODEL/training/weights.safetensors]",
)
@_with(_RUNNING)
def train(
    model: str,
    data: str,
    stages: str,
    batch_size: int,
    lr: float,
    seed: int,
    out: Path | None,
    threads: int,
    artifacts: Path,
) -> None:
    """Train a classifier from scratch; stop it whenever, the same command goes on where it was."""
    from . import commands

    options = {"stages": stages, "batch_size": batch_size, "lr": lr, "seed": seed}
    found = commands.train(model, data, options, out, threads=threads, root=artifacts)
    click.echo(
        f"Top-1 {found['top1']:.2%}, Top-5 {found['top5']:.2%} on {found['images']} test pictures: {found['weights']}"
    )
