"""The scores of a task on labelled samples: one function for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..spec import task as tasks
from .detection import average_precision
from .metrics import scores
from .segmentation import mean_iou

Scores = Mapping[str, float | str]


def classification(outputs: Sequence[np.ndarray], labels: np.ndarray) -> Scores:
    """Top-1 and Top-5 of the first output, (samples, classes), for `labels` (samples,)."""
    return scores(outputs[0], labels)


def segmentation(outputs: Sequence[np.ndarray], labels: np.ndarray) -> Scores:
    """Mean IoU of the first output for `labels` (samples, height, width)."""
    return {"miou": mean_iou(outputs[0], labels)}


# By task: a function of the outputs, (samples, …) each, and the labels.
SCORING: dict[str, Callable[[Sequence[np.ndarray], np.ndarray], Scores]] = {
    tasks.CLASSIFICATION: classification,
    tasks.SEGMENTATION: segmentation,
    tasks.DETECTION: average_precision,
}
