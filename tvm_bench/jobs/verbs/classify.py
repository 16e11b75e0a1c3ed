"""The verb `classify`: the likeliest classes of pictures, by a built library."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ... import backends
from ...data.imagefolder import read_image
from ...data.preprocess import network_input


def run(artifact: str, images: list[str], threads: int, top: int) -> dict[str, object]:
    """The `top` classes of each picture with their softmax probabilities, by a built library."""
    library = backends.runtime("relay").load(Path(artifact), threads=threads)
    answers = []
    for image in images:
        one = network_input(read_image(Path(image)), library.spec)
        logits = library(np.repeat(one[None], library.shape[0], axis=0))[0]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares)[:top]
        answers.append([{"class": name_of(library.classes, i), "probability": float(shares[i])} for i in best])
    return {"answers": answers}


def name_of(classes: tuple[str, ...], index: int) -> str:
    """The class's name, or its number where nobody named it."""
    return classes[index] if classes else f"class {index}"
