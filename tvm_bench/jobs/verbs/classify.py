"""The verb `classify`: the most likely classes of images, by a built library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ... import backends
from ...data.imagefolder import read_image
from ...data.preprocess import network_input
from ...spec.errors import UserError
from ...spec.tensors import TensorSpec


def run(artifact: str, images: list[str], threads: int, top: int) -> dict[str, Any]:
    """Return `answers`: for each image its `top` classes with their softmax probabilities."""
    library = backends.runtime("relay").load(Path(artifact), threads=threads)
    if library.spec is None or len(library.outputs) != 1 or len(library.outputs[0].shape) != 2:
        raise UserError(
            f"'{artifact}' is no classifier of images: it takes {_listed(library.inputs)} and returns "
            f"{_listed(library.outputs)}. Call it from Python: tvm_bench.load('{artifact}')."
        )
    answers = []
    for image in images:
        inputs = network_input(read_image(Path(image)), library.spec)
        (logits, *_) = library((np.repeat(inputs[None], library.inputs[0].shape[0], axis=0),))[0]
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        best = np.argsort(-probabilities)[:top]
        answers.append([{"class": name_of(library.classes, i), "probability": float(probabilities[i])} for i in best])
    return {"answers": answers}


def _listed(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(spec.text for spec in specs)


def name_of(classes: tuple[str, ...], index: int) -> str:
    """The name of a class, or its number if the classes have no names."""
    return classes[index] if classes else f"class {index}"
