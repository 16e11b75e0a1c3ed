"""What the commands do but `bench` (race.py), `tune` (tuning.py) and those about compression (compression.py)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from . import backends, launch, manifest, origin, workbench
from .errors import UserError
from .progress import Progress
from .variant import Order, Subject

DAY = 24 * launch.HOUR


def build(order: Order, require_coverage: float | None) -> list[tuple[Path, dict[str, float] | None]]:
    """Build the libraries that `order` asks for, and the tuned ones where there are records.

    Returns their folders, each with the shares of its time by what its kernels came from (None: not tuned). Raises
    `UserError` when less than `require_coverage` of a tuned library's time (0 to 1), or no library at all, is tuned.
    """
    pairs = backends.pairs(("relay",), order.precisions)
    variants = [variant for pair in pairs for variant in order.variants(*pair)]
    with Progress("build", 1 + 2 * len(variants)) as progress:
        progress.step(f"opening {order.subject.model}")
        bench = workbench.open_workbench(order, calibrate="int8" in order.precisions)
        for precision, _ in pairs:
            tuned = [each for each in order.variants(precision, "relay", tuned=True) if bench.tuned_by(each)]
            variants += tuned
            if not tuned and require_coverage:
                raise UserError(f"{precision} has no tuning records in {order.logs}. Make them with `tvm-bench tune`.")
        built: list[tuple[Path, dict[str, float] | None]] = []
        for variant in variants:
            progress.step(f"building {variant.name}")
            folder = workbench.build(bench, variant)
            tuning = manifest.read(folder)["tuning"]
            built.append((folder, tuning and tuning["coverage"]))
            _require(require_coverage, manifest.read(folder))
    return built


def _require(share: float | None, found: dict[str, Any]) -> None:
    if not share or not found["tuning"]:
        return
    covered = sum(part for kind, part in found["tuning"]["coverage"].items() if kind in origin.SEARCHED)
    if covered < share:
        untuned = sorted(name for name, kernel in found["kernels"].items() if kernel["kind"] not in origin.SEARCHED)
        raise UserError(
            f"records cover {covered:.1%} of the time of {found['name']}, and {share:.1%} was required. "
            f"Tune more (`tvm-bench tune`). Without a record: {', '.join(untuned)}"
        )


def classify(artifact: Path, images: tuple[str, ...], top: int, threads: int) -> list[list[dict[str, Any]]]:
    """For each picture the `top` classes with their probabilities."""
    manifest.verify(artifact)
    for image in images:
        if not Path(image).is_file():
            raise UserError(f"no picture '{image}'.")
    request = {"artifact": str(artifact), "images": list(images), "threads": threads, "top": top}
    with tempfile.TemporaryDirectory() as folder:  # the artifact's own may be read-only, or on another machine
        receipt = launch.job("classify", request, Path(folder), label="classify", threads=threads, keep=False)
    return receipt["result"]["answers"]


def profile(artifact: Path) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """A library's kernels as its manifest has them, and the milliseconds of each on the threads it was built for."""
    found = manifest.verify(artifact)
    with tempfile.TemporaryDirectory() as folder:
        request = {"artifact": str(artifact)}
        receipt = launch.job("profile", request, Path(folder), label="profile", threads=found["threads"], keep=False)
    return found["kernels"], receipt["result"]["kernels"]


def model_names(root: Path) -> list[tuple[str, str]]:
    """Every name that `--model` knows, with a note of what it brings."""
    receipt = launch.job("models", {}, root / "jobs", label="models")
    return [(name, note) for name, note in receipt["result"]["names"]]


def train(model: str, data: str, options: dict[str, Any], out: Path | None, *, threads: int, root: Path) -> dict:
    """Train, or go on with a training that was stopped. Returns the job's result, empty but in the first process."""
    model = _with_stem(model, data, options)
    if options["lr"] is None:
        options["lr"] = 0.1 if options["weights"] == "random" else 0.01
    kind, _, path = data.partition(":")
    name = Path(path).resolve().name if kind == "imagefolder" else kind
    folder = root / Subject(model).slug / "training" / name
    out = out or folder / f"{name}.safetensors"
    request = {"model": model, "data": data, "folder": str(folder), "out": str(out), **options}
    label, environment = "train", {}
    if options["distributed"]:
        environment = _torchrun()
        label = f"train-{environment['RANK']}"
        threads = max(1, threads // int(environment["LOCAL_WORLD_SIZE"]))
    # Never skipped: pictures can change without any file that we know of. A finished training is only scored again.
    options = {"threads": threads, "environment": environment, "timeout": 7 * DAY, "show": True, "keep": False}
    result = launch.job("train", request, folder, label=label, **options)["result"]
    return {**result, "model": model} if result else {}


def _with_stem(model: str, data: str, options: dict[str, Any]) -> str:
    """A ResNet that is to see CIFAR's pictures at their own size gets the stem for it."""
    residual = model.startswith(("resnet", "resnext", "wide_resnet")) and "-" not in model
    small = options["image_size"] in (None, 32) and not options["stages"] and options["weights"] != "imagenet"
    return f"{model}-cifar" if residual and small and data.startswith("cifar") else model


def _torchrun() -> dict[str, str]:
    """What torchrun told this process about the others. Raises `UserError` where it was not started by it."""
    told = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if not all(name in os.environ for name in told):
        raise UserError(
            "--distributed: this process was not started by torchrun. Give "
            "`torchrun --nproc-per-node 2 -m tvm_bench train --distributed …`."
        )
    prefixes = ("TORCHELASTIC_", "NCCL_", "GLOO_")
    return {name: value for name, value in os.environ.items() if name in told or name.startswith(prefixes)}
