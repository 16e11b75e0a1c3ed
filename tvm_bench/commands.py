"""What the commands do, `bench` excepted (race.py): each opens a workbench or sends a single job."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from . import launch, manifest, workbench
from .errors import UserError
from .progress import Progress
from .variant import Order, Subject

DAY = 24 * launch.HOUR


def build(order: Order, require_coverage: float | None) -> list[tuple[Path, dict[str, float] | None]]:
    """Build the libraries that `order` asks for, and the tuned ones where there are records.

    Returns their folders, each with the shares of its time by what its kernels came from (None: not tuned). Raises
    `UserError` when less than `require_coverage` of a tuned library's time (0 to 1), or no library at all, is tuned.
    """
    variants = [variant for precision in order.precisions for variant in order.variants(precision, "relay")]
    with Progress("build", 1 + 2 * len(variants)) as progress:
        progress.step(f"opening {order.subject.model}")
        bench = workbench.open_workbench(order, calibrate="int8" in order.precisions)
        for precision in order.precisions:
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
    covered = 1 - found["tuning"]["coverage"]["default"]
    if covered < share:
        untuned = sorted(name for name, kind in found["kernels"].items() if kind == "default")
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


def model_names(root: Path) -> list[tuple[str, str]]:
    """Every name that `--model` knows, with a note of what it brings."""
    receipt = launch.job("models", {}, root / "jobs", label="models")
    return [(name, note) for name, note in receipt["result"]["names"]]


def train(model: str, data: str, options: dict[str, Any], out: Path | None, *, threads: int, root: Path) -> dict:
    """Train, or go on with a training that was stopped. Returns the job's result."""
    folder = root / Subject(model).slug / "training"
    request = {
        "model": model,
        "data": data,
        "folder": str(folder),
        "out": str(out or folder / "weights.safetensors"),
        **options,
    }
    receipt = launch.job("train", request, folder, label="train", threads=threads, timeout=7 * DAY, show=True)
    return receipt["result"]
