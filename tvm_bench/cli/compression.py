"""The commands `compress`, `figures` and `operators`."""

from __future__ import annotations

from typing import Any

import click

from ..spec.recipe import Settings
from .console import console
from .options import ARTIFACTS, FORMS, IMAGES, SUBJECT, THREADS, with_options
from .run_spec import compression, run_spec


@click.command()
@with_options(SUBJECT)
@click.option(
    "--epochs",
    type=click.FloatRange(0),
    default=Settings.epochs,
    show_default=True,
    help="Of each step that trains.",
)
@click.option("--batch-size", type=click.IntRange(2), default=Settings.batch_size, show_default=True)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="The highest learning rate of the cosine.  [default: prune 0.01, distill 0.02, from scratch 0.1, qat 0.001]",
)
@click.option("--seed", type=int, default=Settings.seed, show_default=True)
@click.option("--layers", metavar="NAME,…", help="Prune these layers only.  [default: all that can be]")
@click.option("--teacher", help="The model that distillation learns from, such as resnet50.")
@click.option(
    "--teacher-weights", default=Settings.teacher_weights, show_default=True, help="As --weights, for the teacher."
)
@click.option("--temperature", type=click.FloatRange(0, min_open=True), default=Settings.temperature, show_default=True)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=Settings.alpha,
    show_default=True,
    help="Weight of the teacher's answers.",
)
@with_options(IMAGES, THREADS, ARTIFACTS)
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
    from ..pipeline import compression as jobs
    from ..report import compression as shown

    found, folder = jobs.compress(compression(given), images)
    shown.show(found, console())
    for file in shown.write(found, folder):
        click.echo(str(file))


@click.command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--picture", type=int, help="Number of the test picture whose feature maps are drawn.  [default: one that changed]"
)
@with_options(IMAGES, THREADS, ARTIFACTS)
def figures(images: int | None, picture: int | None, **given: Any) -> None:
    """Draw what compression changed: confusion matrices, pictures that changed their class, mistakes, feature maps.

    FP32 beside the last of --precision, after --recipe; by itself, beside static INT8.
    """
    from ..pipeline import compression as jobs

    asked = run_spec(given, precisions=("fp32",) if given["recipe"] else ("int8",))
    for file in jobs.figures(asked, images, picture):
        click.echo(str(file))


@click.command()
@with_options(SUBJECT, FORMS)
@click.option("--calls", type=click.IntRange(1), default=10, show_default=True, help="Calls to average.")
@click.option("--top", type=click.IntRange(1), default=12, show_default=True, help="Operators to print.")
@with_options(THREADS, ARTIFACTS)
def operators(calls: int, top: int, **given: Any) -> None:
    """Where the time and the memory of eager PyTorch go, operator by operator, by torch.profiler.

    By itself it compares FP32 with dynamic FP16, dynamic INT8 and static INT8.
    """
    from ..pipeline import compression as jobs
    from ..report import compression as shown

    asked = run_spec(given, precisions=("fp32", "fp16-dynamic", "int8-dynamic", "int8"))
    shown.show_operators(asked.model_spec.slug, jobs.operators(asked, calls), top, console())
