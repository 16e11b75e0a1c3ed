"""Step 8, the verbs `evaluate` and `classify`: what a variant answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from .. import backends
from .. import data as datasets
from ..data.imagefolder import read_picture
from ..data.preprocess import InputSpec, network_input
from ..files import replace_with
from . import checks as timed


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
    checks: str,
) -> dict[str, object]:
    """Run every test picture; write the logits, float32 (images, classes), to `out`, those of the inputs that `measure`
    times to `checks`.

    Without `data`, seeded noise stands in: enough to compare variants, and never scored. Returns `scores` where the
    pictures are `labelled`, `agreement` with the logits in `against["reference"]`, and parts of it for
    `against["source"]`. `distances` has the relative ones to both.
    """
    run = backends.load(backend, Path(artifact), threads=threads)
    wanted = InputSpec.from_dict(spec)
    test = datasets.load(data, "test") if data else datasets.noise(wanted)
    count = min(len(test), limit or len(test))
    logits = _answers(run, test.batches(wanted, batch, limit), count)
    answers = [run(images).copy() for images in timed.inputs(wanted.shape, batch)]
    for file, values in ((out, logits), (checks, np.stack(answers))):
        with replace_with(Path(file)) as path:
            np.save(path, values)
    others = {name: np.load(path) for name, path in against.items()}
    result: dict[str, object] = {
        "outputs": [out, checks],
        "images": count if labelled else None,
        "distances": {name: distances(logits, other) for name, other in others.items()},
    }
    if labelled and test.labels is not None:
        result |= scores(logits, test.labels[:count])
    if "reference" in others:
        result |= agreement(logits, others["reference"])
    if "source" in others:
        found = agreement(logits, others["source"])
        result |= {f"source_{name}": found[name] for name in ("max_abs_error", "argmax_agreement")}
    return result


def _answers(run: Callable, batches: Iterator[np.ndarray], count: int) -> np.ndarray:
    """The first `count` answers in one array: kept one by one, they would lie between what each call allocates and
    frees, and the process of eager PyTorch once grew by a megabyte a picture."""
    first = run(next(batches))
    found = np.empty((count, first.shape[1]), first.dtype)
    for start, answers in zip(range(0, count, len(first)), chain([first], map(run, batches)), strict=True):
        found[start : start + len(first)] = answers[: count - start]
    return found


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | str]:
    """Top-1 and Top-5 accuracy, 0 to 1, of `logits` (images, classes) for `labels` (images,).

    `hits` says which images the first of them holds for: a bit an image, in order, as hexadecimal of `np.packbits`.
    """
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    hits = ranked == labels[:, None]
    first = hits[:, 0]
    return {
        "top1": float(first.mean()),
        "top5": float(hits.any(axis=1).mean()),
        "hits": np.packbits(first).tobytes().hex(),
    }


def distances(logits: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Of the images' distances to `reference`, each relative to its length there: the median and the largest.

    Scores near zero, a hundredth of the usual length or less, count as that long. A quantized reference's scores are
    multiples of a step: where that is coarse, a rounding may be all that an image has, so one step counts as none.
    """
    lengths = np.linalg.norm(reference, axis=1)
    floor = max(np.median(lengths) / 100, np.finfo(np.float32).tiny)
    beyond = np.maximum(np.abs(logits - reference) - _step(reference), 0)
    relative = np.linalg.norm(beyond, axis=1) / np.maximum(lengths, floor)
    return {"images": len(logits), "median": float(np.median(relative)), "worst": float(relative.max())}


def _step(scores: np.ndarray) -> float:
    """What all `scores` are multiples of; 0 for those that are not quantized."""
    gaps = np.diff(np.unique(scores))
    step = gaps.min() if len(gaps) else 0.0
    multiples = scores / step if step else np.full_like(scores, np.nan)
    return float(step) if np.allclose(multiples, np.round(multiples), rtol=0, atol=1e-2) else 0.0


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
