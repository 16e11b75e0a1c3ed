"""The verb `classify`: the most likely classes of images, by a built library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ... import backends
from ...data.imagefolder import read_image
from ...data.preprocess import network_input


def run(artifact: str, images: list[str], threads: int, top: int) -> dict[str, Any]:
    """Return `answers`: for each image its `top` classes with their softmax probabilities."""
    library = backends.runtime("relay").load(Path(artifact), threads=threads)
    answers = []
    for image in images:
        inputs = network_input(read_image(Path(image)), library.spec)
        logits = library(np.repeat(inputs[None], library.shape[0], axis=0))[0]
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        best = np.argsort(-probabilities)[:top]
        answers.append([{"class": name_of(library.classes, i), "probability": float(probabilities[i])} for i in best])
    return {"answers": answers}


def name_of(classes: tuple[str, ...], index: int) -> str:
    """The name of a class, or its number if the classes have no names."""
    return classes[index] if classes else f"class {index}"
