"""Accuracy of scores, and their distance from other scores. NumPy only."""

from __future__ import annotations

import numpy as np

TINY = np.finfo(np.float32).tiny  # replaces a divisor of 0
COLUMNS = 1 << 16  # values of an image that are compared at a time


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | str]:
    """Top-1 and Top-5 accuracy, 0 to 1, of `logits` (images, classes) for `labels` (images,).

    `hits` has one bit per image, set if its Top-1 class is right: `np.packbits` in hexadecimal.
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
    """The distance of each image's scores from those in `reference`: of the median image and of the worst one.

    Both arrays are (images, classes). The unit is the variation of the reference's scores between images: the distance
    of the image's own scores from the centre of all images, or the median of these distances if that is larger. So a
    constant answer has a distance of 1, and the distance of an image whose scores lie near the centre stays finite.
    Quantization steps of the scores need no tolerance: they are small in this unit, unless the scores hardly vary.

    `spread` is the median distance from the centre, relative to the median length of the scores. It is near 0 if the
    reference has nearly the same answer for all images, so that nothing can be compared with it.
    """
    squares = np.zeros((3, len(reference)))
    for start in range(0, reference.shape[1], COLUMNS):  # maps have millions of values
        part = slice(start, start + COLUMNS)
        right = reference[:, part].astype(np.float64)
        squares += [
            np.square(values).sum(axis=1)
            for values in (right, right - np.median(right, axis=0), logits[:, part].astype(np.float64) - right)
        ]
    lengths, variations, errors = np.sqrt(squares)
    typical, length = np.median(variations), np.median(lengths)
    relative = errors / np.maximum(np.maximum(variations, typical), TINY)
    return {
        "images": len(logits),
        "median": float(np.median(relative)),
        "worst": float(relative.max()),
        "spread": float(typical / np.maximum(length, TINY)),
    }


def agreement(logits: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """The agreement of `logits` with `reference`, both (images, classes).

    `argmax_agreement` is None if the reference predicts one class for all images: a constant would agree as well.
    """
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(reference, axis=1)
    cosine = (logits * reference).sum(axis=1) / np.maximum(lengths, TINY)
    classes = reference.argmax(axis=1)
    return {
        "max_abs_error": float(np.abs(logits - reference).max()),
        "cosine": float(cosine.mean()),
        "argmax_agreement": float((logits.argmax(axis=1) == classes).mean()) if np.ptp(classes) else None,
    }
