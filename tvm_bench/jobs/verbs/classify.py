"""The verb `classify`: the most likely classes of images, by a built library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import backends


def run(artifact: str, images: list[str], threads: int, top: int) -> dict[str, Any]:
    """Return `answers`: for each image its `top` classes with their softmax probabilities."""
    library = backends.runtime("relay").load(Path(artifact), threads=threads)
    answers = library.predict(images, top)
    return {"answers": [[{"class": name, "probability": share} for name, share in best] for best in answers]}
