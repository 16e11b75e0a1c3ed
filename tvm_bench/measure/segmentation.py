"""The score of a segmentation. NumPy only."""

from __future__ import annotations

import numpy as np

NO_CLASS = 255  # of a pixel that is not scored, as in Pascal VOC


def mean_iou(maps: np.ndarray, labels: np.ndarray) -> float:
    """Mean intersection over union, 0 to 1, over the classes that occur in the labels or the predictions.

    `maps` is (images, classes, height, width), or the class of each pixel (images, height, width); `labels` is
    (images, height, width).
    """
    classes = maps.shape[1] if maps.ndim == 4 else int(max(maps.max(), labels[labels != NO_CLASS].max(initial=0))) + 1
    counts = np.zeros((classes, classes), np.int64)
    for image, right in zip(maps, labels, strict=True):  # one at a time: maps are large
        predicted = image.argmax(axis=0) if image.ndim == 3 else image
        scored = (right != NO_CLASS) & (right < classes)
        pairs = classes * right[scored] + predicted[scored].astype(np.int64)
        counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    both = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - both
    return float((both[union > 0] / union[union > 0]).mean())
