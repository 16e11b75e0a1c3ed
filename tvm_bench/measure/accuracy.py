"""Step 8, the verbs `evaluate` and `classify`: what a variant answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import backends
from .. import data as datasets
from ..data.imagefolder import read_picture
from ..data.preprocess import InputSpec, network_input
from ..files import replace_with


def evaluate(
    backend: str,
    artifact: str,
    spec: dict,
    data: str | None,
    labelled: bool,
    batch: int,
    threads: int,
    limit: int | None,
    against: dict[str, str],
    out: str,
) -> dict[str, object]:
    """Run every test picture; write the logits, float32 (images, classes), to `out`.

    Without `data`, seeded noise stands in: enough to compare variants, and never scored. Returns Top-1 and Top-5
    (shares of 1) where the pictures are `labelled`, and against the logits in `against["reference"]` the largest
    absolute error, the mean cosine similarity and the share of equal argmax; against `against["source"]` two of them.
    """
    run = backends.load(backend, Path(artifact), threads=threads)
    wanted = InputSpec.from_dict(spec)
    test = datasets.load(data, "test") if data else datasets.noise(wanted)
    count = min(len(test), limit or len(test))
    logits = np.concatenate([run(images).copy() for images in test.batches(wanted, batch, limit)])[:count]
    with replace_with(Path(out)) as path:
        np.save(path, logits)
    result: dict[str, object] = {"outputs": [out], "images": count if labelled else None}
    if labelled and test.labels is not None:
        result |= scores(logits, test.labels[:count])
    if "reference" in against:
        result |= agreement(logits, np.load(against["reference"]))
    if "source" in against:
        found = agreement(logits, np.load(against["source"]))
        result |= {f"source_{name}": found[name] for name in ("max_abs_error", "argmax_agreement")}
    return result


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Top-1 and Top-5 accuracy, 0 to 1, of `logits` (images, classes) for `labels` (images,)."""
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    hits = ranked == labels[:, None]
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(axis=1).mean())}


def agreement(logits: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """How far `logits` are from `reference`, both (images, classes)."""
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(reference, axis=1)
    cosine = (logits * reference).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return {
        "max_abs_error": float(np.abs(logits - reference).max()),
        "cosine": float(cosine.mean()),
        "argmax_agreement": float((logits.argmax(1) == reference.argmax(1)).mean()),
    }


def classify(artifact: str, images: list[str], threads: int, top: int) -> dict[str, object]:
    """The `top` classes of each picture with their softmax probabilities, by a built library."""
    library = backends.runtime("relay").load(Path(artifact), threads=threads)
    answers = []
    for image in images:
        one = network_input(read_picture(Path(image)), library.spec)
        logits = library(np.repeat(one[None], library.shape[0], axis=0))[0]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares)[:top]
        answers.append([{"class": name_of(library.classes, i), "probability": float(shares[i])} for i in best])
    return {"answers": answers}


def name_of(classes: tuple[str, ...], index: int) -> str:
    """The class's name, or its number where nobody named it."""
    return classes[index] if classes else f"class {index}"
