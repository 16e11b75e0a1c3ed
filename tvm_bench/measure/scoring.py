"""The scores of a task on labelled samples: one function for each task. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..spec import task as tasks
from .metrics import scores

Scores = Mapping[str, float | str]


def classification(outputs: Sequence[np.ndarray], labels: np.ndarray) -> Scores:
    """Top-1 and Top-5 of the first output, (samples, classes), for `labels` (samples,)."""
    return scores(outputs[0], labels)


# By task: a function of the outputs, (samples, …) each, and the labels.
SCORING: dict[str, Callable[[Sequence[np.ndarray], np.ndarray], Scores]] = {tasks.CLASSIFICATION: classification}
