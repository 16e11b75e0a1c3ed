"""Accuracy of scores, and how far they are from other scores. NumPy only."""

from __future__ import annotations

import numpy as np


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
