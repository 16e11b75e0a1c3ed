"""The command `run`: the likeliest classes of pictures, by a built library."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..host import manifest
from ..jobs import launcher
from ..jobs.launcher import Job
from ..spec.errors import UserError


def classify(artifact: Path, images: tuple[str, ...], top: int, threads: int) -> list[list[dict[str, Any]]]:
    """For each picture the `top` classes with their probabilities."""
    manifest.verify(artifact)
    for image in images:
        if not Path(image).is_file():
            raise UserError(f"no picture '{image}'.")
    request = {"artifact": str(artifact), "images": list(images), "threads": threads, "top": top}
    with tempfile.TemporaryDirectory() as folder:  # the artifact's own may be read-only, or on another machine
        receipt = launcher.run(Job("classify", request, Path(folder), "classify", threads=threads, reuse=False))
    return receipt["result"]["answers"]
