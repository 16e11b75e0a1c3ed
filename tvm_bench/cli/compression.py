"""The commands `compress`, `figures` and `operators`."""

from __future__ import annotations

from typing import Any

import click

from ..api.run_spec import run_spec
from ..spec.recipe import Settings
from .console import console, print_json
from .help import command
from .options import ARTIFACTS, CALIBRATION, IMAGES, JSON, PRECISION, SUBJECT, THREADS, with_options


@command()
@with_options(SUBJECT)
@click.option(
    "--epochs",
    type=click.FloatRange(0),
    default=Settings.epochs,
    show_default=True,
    help="Epochs of each step with training.",
)
@click.option(
    "--batch-size", type=click.IntRange(2), default=Settings.batch_size, show_default=True, help="Of training."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Peak learning rate.  [default: 0.01 for prune, 0.02 for distill, 0.1 for distill-scratch, 0.001 for qat]",
)
@click.option("--seed", type=click.IntRange(0), default=Settings.seed, show_default=True, help="Of training.")
@click.option("--layers", metavar="NAME,…", help="Prune only these layers.  [default: all that can be pruned]")
@click.option("--teacher", help="The model that distillation learns from, such as resnet50.")
@click.option(
    "--teacher-weights", default=Settings.teacher_weights, show_default=True, help="As --weights, for the teacher."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    default=Settings.temperature,
    show_default=True,
    help="Of the softmax in distillation.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=Settings.alpha,
    show_default=True,
    help="Weight of the teacher's outputs; the labels have the rest.",
)
@with_options(IMAGES, THREADS, ARTIFACTS, JSON)
def compress(
    epochs: float,
    batch_size: int,
    lr: float | None,
    seed: int,
    layers: str | None,
    teacher: str | None,
    teacher_weights: str,
    temperature: float,
    alpha: float,
    images: int | None,
    as_json: bool,
    **common: Any,
) -> None:
    """Compress a model by a --recipe, and compare it with the original, layer by layer.

    \b
    A recipe joins techniques with +; they are applied from left to right:
      distill, distill-scratch     train with --teacher, from the current or from random weights
      prune-structured50           remove half of the filters of each layer
      prune-unstructured90         set nine of ten weights to zero
      prune-2:4                    set two of each four weights to zero
      …-iterative, …-iterative5    the same in 3, or 5, iterations of pruning and training (2:4: in 2)
      kmeans256                    at most 256 different weights per layer, stored as codebook and indices
      int8[-per-channel|-per-tensor][-minmax|-histogram|-entropy]   static quantization
      int8…-without:Softmax,/head/Gemm                              these operators and nodes of the ONNX file stay FP32
      int8-pt2e                                                     static quantization by torchao's PT2E
      qat[-per-channel|-per-tensor]                                 quantization-aware training
      int8-dynamic, fp16-dynamic                                    quantization of linear layers
    Afterwards `tvm-bench bench --recipe …` races the result on all backends, and `build` compiles it. An interrupted
    training resumes with the same command.

    \b
    Examples:
      tvm-bench compress --recipe prune-structured50 --epochs 1
      tvm-bench compress mobilenet_v2 --weights m.safetensors --data imagefolder:photos --recipe int8-entropy
      tvm-bench compress --recipe distill-scratch+int8 --teacher resnet50 --epochs 5
    """
    from ..pipeline import compression as jobs
    from ..report import compression as report

    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        layers=tuple(name.strip() for name in (layers or "").split(",") if name.strip()),
        teacher=teacher,
        teacher_weights=teacher_weights,
        temperature=temperature,
        alpha=alpha,
    )
    run = run_spec(**common, settings=settings, default_precisions=("fp32",))
    result, folder = jobs.compress(run, images)
    files = report.write(result, folder)
    if as_json:
        return print_json({**result, "files": files})
    report.show(result, console())
    for file in files:
        click.echo(str(file))


@command()
@with_options(SUBJECT, PRECISION, CALIBRATION)
@click.option(
    "--image",
    type=int,
    help="Index of the test image for the feature maps.  [default: one whose class changed]",
)
@with_options(IMAGES, THREADS, ARTIFACTS)
def figures(images: int | None, image: int | None, **common: Any) -> None:
    """Draw what compression changed: confusion matrices, classes of images, mistakes, feature maps, histograms.

    Compares the original FP32 model with the recipe's result (without a recipe: static INT8), in the last precision
    of --precision.

    \b
    Examples:
      tvm-bench figures
      tvm-bench figures --recipe prune-structured50 --image 7
      tvm-bench figures mobilenet_v2 --weights m.safetensors --data imagefolder:photos --precision int8
    """
    from ..pipeline import compression as jobs

    run = run_spec(**common, default_precisions=("fp32",) if common["recipe"] else ("int8",))
    for file in jobs.figures(run, images, image):
        click.echo(str(file))


@command()
@with_options(SUBJECT, PRECISION, CALIBRATION)
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Samples in one call.")
@click.option("--calls", type=click.IntRange(1), default=10, show_default=True, help="Calls to average.")
@click.option("--top", type=click.IntRange(1), default=12, show_default=True, help="Operators to print, slowest first.")
@with_options(THREADS, ARTIFACTS, JSON)
def operators(batch_size: int, calls: int, top: int, as_json: bool, **common: Any) -> None:
    """Print time and memory of each operator of eager PyTorch, by torch.profiler.

    Without --precision it compares FP32, dynamic FP16, dynamic INT8 and static INT8.

    \b
    Examples:
      tvm-bench operators
      tvm-bench operators resnet34 --weights random --precision fp32,int8-dynamic
      tvm-bench operators --batch-size 8 --top 5 --json
    """
    from ..pipeline import compression as jobs
    from ..report import compression as report

    precisions = ("fp32", "fp16-dynamic", "int8-dynamic", "int8")
    run = run_spec(**common, batches=(batch_size,), default_precisions=precisions)
    found = jobs.operators(run, calls)
    if as_json:
        return print_json({precision: rows[:top] for precision, rows in found.items()})
    report.show_operators(run.model_spec.slug, found, top, console())
