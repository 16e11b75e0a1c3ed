"""Does a student learn more from a teacher than from the labels alone? Writes docs/results/distillation.md.

python benchmarks/distillation.py [--seeds 3] [--image-size 32] [--epochs 0.5]

ResNet-18 from random weights: each seed once with a ResNet-50 as teacher and once without (`--alpha 0`), with the
same batches, crops, learning rates and epochs. At 32 pixels on two cores the teacher takes ten minutes, and six
students half an hour. Interruptible: the same command resumes. It needs the full Fashion-MNIST.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import measured

from tvm_bench.host import cpu
from tvm_bench.pipeline import compression
from tvm_bench.report import formatting
from tvm_bench.spec.recipe import Settings
from tvm_bench.spec.variant import ModelSpec, RunSpec

RESULTS = measured.FOLDER / "distillation.json"
DATA = "fashion-mnist:full"
TAUGHT = 0.9  # weight of the teacher's outputs
HEADER = ("seed", "Top-1, labels alone", "Top-1, with the teacher", "points")
TEXT = """# Does distillation help here?

{origin}

ResNet-18 from new weights at {image_size} pixels on Fashion-MNIST, {epochs:g} epochs each, scored on the 10,000 test
images. The teacher is a ResNet-50 after {teacher_epochs:g} epochs; temperature {temperature:g}, weight of its answers
{taught}.

{table}

With the teacher it was better in {better} of {seeds} seeds, on average by {mean:+.2f} points.
"""
LR = 0.03  # of `tvm-bench train`: with 0.1, a ResNet-50 spends the first of its few epochs at a loss of up to 16


@click.command(help=__doc__)
@click.option("--seeds", type=int, default=3, show_default=True)
@click.option("--image-size", type=int, default=32, show_default=True)
@click.option("--epochs", type=float, default=0.5, show_default=True, help="Of each student.")
@click.option("--teacher-epochs", type=float, default=2.0, show_default=True)
@click.option("--threads", type=int, default=cpu.cores(), show_default=True)
@click.option("--artifacts", type=click.Path(path_type=Path), default=Path("artifacts"), show_default=True)
def main(seeds: int, image_size: int, epochs: float, teacher_epochs: float, threads: int, artifacts: Path) -> None:
    teacher = _trained("resnet50", teacher_epochs, image_size, artifacts)
    student = _trained(
        "resnet18", 0.02, image_size, artifacts
    )  # only for its image size: each student starts from random weights
    model_spec = ModelSpec("resnet18", str(student), data=DATA, recipe="distill-scratch")
    pairs = []
    for seed in range(seeds):
        scores = []
        for alpha in (0.0, TAUGHT):
            settings = Settings(epochs=epochs, seed=seed, teacher="resnet50", teacher_weights=str(teacher), alpha=alpha)
            place = artifacts / "distillation" / f"seed-{seed}-alpha-{alpha:g}"
            run_spec = RunSpec(model_spec, ("fp32",), (), None, (1,), (threads,), place, settings=settings)
            scores.append(compression.compress(run_spec, None)[0]["models"][-1]["top1"])
        pairs.append(scores)
    options = {"image_size": image_size, "epochs": epochs, "teacher_epochs": teacher_epochs}
    about = {"temperature": Settings.temperature, "taught": TAUGHT}
    measured.keep(RESULTS, page, arguments=" ".join(sys.argv[1:]), **options, **about, top1=pairs)


def page(results: dict[str, Any]) -> str:
    """The Markdown page of the results, with a line for each seed."""
    gains = [100 * (taught - alone) for alone, taught in results["top1"]]
    lines = [
        [str(seed), *(formatting.percent(score, 2) for score in scores), f"{gain:+.2f}"]
        for seed, (scores, gain) in enumerate(zip(results["top1"], gains, strict=True))
    ]
    named = {name: results[name] for name in ("image_size", "epochs", "teacher_epochs", "temperature", "taught")}
    return TEXT.format(
        **named,
        origin=measured.origin(results, f"python benchmarks/distillation.py {results['arguments']}".strip()),
        table=measured.lines_of(HEADER, lines),
        better=sum(gain > 0 for gain in gains),
        seeds=len(gains),
        mean=sum(gains) / len(gains),
    )


def _trained(model: str, epochs: float, image_size: int, artifacts: Path) -> Path:
    """The weights of a training by `tvm-bench train`; a finished training is not repeated, only scored again."""
    out = artifacts / f"{model}-{image_size}.safetensors"
    options = ["--epochs", epochs, "--lr", LR, "--image-size", image_size, "--artifacts", artifacts, "--output", out]
    command = [sys.executable, "-m", "tvm_bench", "train", "--model", model, "--data", DATA, *options]
    subprocess.run([str(word) for word in command], check=True)
    return out


if __name__ == "__main__":
    main()
