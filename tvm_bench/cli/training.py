"""The command `train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from .options import ARTIFACTS, THREADS, with_options


@click.command()
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
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="The highest rate of the cosine.  [default: 0.1 from random weights, else 0.01]",
)
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
    from ..pipeline import training

    found = training.train(model, data, options, out, threads=threads, root=artifacts)
    if found:
        scored = f"Top-1 {found['top1']:.2%}, Top-5 {found['top5']:.2%} on {found['images']} test pictures"
        click.echo(f"{scored}: {found['weights']}")
        model_spec = ["--model", found["model"], "--weights", found["weights"], "--data", data]
        click.echo(f"next: {shlex.join(['tvm-bench', 'bench', *model_spec])}")
