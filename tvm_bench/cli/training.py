"""The command `train`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..api.run_spec import model_name
from ..spec.training import TrainingRequest
from .help import command
from .options import ARTIFACTS, MODEL, THREADS, with_options


@command()
@with_options(MODEL)
@click.option(
    "--model",
    "model_option",
    metavar="MODEL",
    help="A torchvision classifier (also resnet18-cifar, resnet50-quantizable), or package.module:callable. The same "
    "as the argument MODEL.  [default: resnet18]",
)
@click.option(
    "--weights",
    default="random",
    show_default=True,
    help="Initial weights: random, imagenet, or a file. The last layer is re-initialised if the classes differ.",
)
@click.option(
    "--data",
    default="fashion-mnist",
    show_default=True,
    help="fashion-mnist, cifar10, cifar100, indoor67 (each with :PATH if it is not in ./data), or imagefolder:PATH.",
)
@click.option(
    "--epochs", type=click.FloatRange(0, min_open=True), default=10, show_default=True, help="Passes over the data."
)
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True, help="Of all processes together.")
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Peak learning rate.  [default: 0.1 for random weights, else 0.01]",
)
@click.option("--image-size", type=click.IntRange(8), help="Pixels per side.  [default: 32 for a CIFAR stem, else 224]")
@click.option(
    "--stages",
    metavar="SIZE:EPOCHS,…",
    help="Image sizes in order, with epochs for each, such as 64:6,112:2,224:0.5. Replaces --epochs and --image-size.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Stop early after so many epochs without a better validation loss.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: CUDA if there is a GPU, else the CPU.",
)
@click.option("--amp/--no-amp", default=True, help="FP16 on CUDA, BF16 on a CPU that has it.  [default: on]")
@click.option("--distributed", is_flag=True, help="Run as a worker of a torchrun job.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order, crops and dropout."
)
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    help="File for the weights.  [default: ARTIFACTS/MODEL/training/DATA/DATA.safetensors]",
)
@with_options(THREADS, ARTIFACTS)
def train(
    model: str | None,
    model_option: str | None,
    weights: str,
    data: str,
    epochs: float,
    batch_size: int,
    lr: float | None,
    image_size: int | None,
    stages: str | None,
    patience: int,
    device: str,
    amp: bool,
    distributed: bool,
    seed: int,
    out: Path | None,
    threads: int,
    artifacts: Path,
) -> None:
    """Train a classifier. An interrupted training resumes from its last checkpoint with the same command.

    SGD with momentum and weight decay; the learning rate follows one cosine. One training image in twelve is held out
    for validation, and the weights of the best validation loss are saved. On CIFAR, a ResNet gets the stem for 32x32
    images (resnet18-cifar), unless --weights imagenet, --image-size or --stages are given. Writes checkpoint.pt,
    history.json and training_history.png beside the weights. On several CPUs or GPUs: torchrun --nproc-per-node 2 -m
    tvm_bench train --distributed

    \b
    Examples:
      tvm-bench train resnet18 --data fashion-mnist:full --epochs 2 --image-size 64
      tvm-bench train resnet18 --data cifar10:/data/cifar10 --epochs 30
      tvm-bench train resnet50 --weights imagenet --data indoor67:/data/indoor67 --output indoor67.safetensors
    """
    from ..pipeline import training

    request = TrainingRequest(
        model=model_name(model, model_option),
        data=data,
        weights=weights,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        image_size=image_size,
        stages=stages,
        patience=patience,
        device=device,
        amp=amp,
        distributed=distributed,
        seed=seed,
    )
    result = training.train(request, out, threads=threads, root=artifacts)
    if result:
        scores = f"Top-1 {result['top1']:.2%}, Top-5 {result['top5']:.2%} on {result['images']} test images"
        click.echo(f"{scores}: {result['weights']}")
        model_spec = ["--model", result["model"], "--weights", result["weights"], "--data", data]
        click.echo(f"next: {shlex.join(['tvm-bench', 'bench', *model_spec])}")
