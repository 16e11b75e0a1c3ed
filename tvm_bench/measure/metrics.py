"""Accuracy of scores, and how far they are from other scores. NumPy only."""

from __future__ import annotations

import numpy as np

TINY = np.finfo(np.float32).tiny  # instead of a divisor of 0


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
    """How far the scores of each image are from those in `reference`: the median image and the worst one.

    Both arrays are (images, classes). The unit is how much the reference's scores vary between images: the distance of
    the image's own scores from the centre of all, or the median of these distances where that is larger. So 1 is as
    far as a constant answer, and an image whose scores lie near the centre is not infinitely far. A quantization step
    of the scores needs no allowance: it is small beside this unit, or the scores hardly vary.

    `spread` is the median distance from the centre, relative to the median length of the scores: near 0 where the
    reference answers alike to all images, so that nothing can be compared with it.
    """
    logits, reference = logits.astype(np.float64), reference.astype(np.float64)
    variations = np.linalg.norm(reference - np.median(reference, axis=0), axis=1)
    typical, length = np.median(variations), np.median(np.linalg.norm(reference, axis=1))
    relative = np.linalg.norm(logits - reference, axis=1) / np.maximum(np.maximum(variations, typical), TINY)
    return {
        "images": len(logits),
        "median": float(np.median(relative)),
        "worst": float(relative.max()),
        "spread": float(typical / np.maximum(length, TINY)),
    }


def agreement(logits: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """How far `logits` are from `reference`, both (images, classes).

    `argmax_agreement` is None where the reference names one class for all images: a constant would agree as well.
    """
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(reference, axis=1)
    cosine = (logits * reference).sum(axis=1) / np.maximum(lengths, TINY)
    classes = reference.argmax(axis=1)
    return {
        "max_abs_error": float(np.abs(logits - reference).max()),
        "cosine": float(cosine.mean()),
        "argmax_agreement": float((logits.argmax(axis=1) == classes).mean()) if np.ptp(classes) else None,
    }
