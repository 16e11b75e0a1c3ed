"""What the commands do, `bench` excepted (race.py): each opens a workbench or sends a single job."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from . import launch, manifest, workbench
from .errors import UserError
from .variant import Subject, Variant

DAY = 24 * launch.HOUR


def build(
    subject: Subject,
    precisions: tuple[str, ...],
    frontend: str | None,
    *,
    target: str | None,
    batch: int,
    threads: int,
    root: Path,
) -> list[Path]:
    """Build the subject's libraries; returns their folders."""
    from .progress import Progress

    with Progress("build", 1 + len(precisions)) as progress:
        progress.step(f"opening {subject.model}")
        bench = workbench.open_workbench(
            subject, root=root, threads=threads, batch=batch, calibrate="int8" in precisions, target=target
        )
        folders = []
        for precision in precisions:
            variant = Variant(subject, precision, "relay", frontend, threads=threads, batch=batch)
            progress.step(f"building {variant.name}")
            folders.append(workbench.build(bench, variant))
    return folders


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
    """Train from scratch, or go on with a training that was stopped. Returns the job's result."""
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
