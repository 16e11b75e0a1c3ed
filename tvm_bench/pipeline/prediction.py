"""The command `run`: the most likely classes of images, by a built library."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..host import manifest
from ..jobs import launcher
from ..jobs.launcher import Job
from ..spec.errors import UserError


def classify(artifact: Path, images: tuple[str, ...], top: int, threads: int) -> list[list[dict[str, Any]]]:
    """The `top` classes of each image with their probabilities. Raises `UserError` for a missing image."""
    manifest.verify(artifact)
    for image in images:
        if not Path(image).is_file():
            raise UserError(f"no image at '{image}'. Give the path of an image file.")
    request = {"artifact": str(artifact), "images": list(images), "threads": threads, "top": top}
    with tempfile.TemporaryDirectory() as folder:  # the artifact's own folder may be read-only, or on another machine
        receipt = launcher.run(Job("classify", request, Path(folder), "classify", threads=threads, reuse=False))
    return receipt["result"]["answers"]
