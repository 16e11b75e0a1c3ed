"""The outputs of a variant beside those of another, whatever the task. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..spec import task as tasks
from ..spec.tensors import TensorSpec
from .metrics import TINY, distances

EQUAL_DB = 300.0  # stands for equal outputs, whose ratio is infinite


def compared(
    task: str, specs: Sequence[TensorSpec], outputs: Sequence[np.ndarray], others: Sequence[np.ndarray]
) -> list[dict[str, object]]:
    """The differences of each output from the `others`, which are right.

    `outputs` are arrays (samples, …). Returns for each output, or each part of it (see `parts`): its `name`; `sqnr_db`,
    the power of the right values over that of the difference; `max_relative_error`, the largest difference relative to
    the largest right value; `argmax_agreement`, the share of equal classes (None without an axis of classes, or if the
    right class is always the same); and `images`, `median`, `worst` and `spread` of `metrics.distances`.
    """
    return [
        {"name": name, **_differences(tasks.class_axis(task, spec), output, other)}
        for spec, *pair in zip(specs, outputs, others, strict=True)
        for name, output, other in parts(task, spec, *pair)
    ]


def parts(
    task: str, spec: TensorSpec, output: np.ndarray, other: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """An output as a whole; in detection its boxes and its scores, which are of different size."""
    axis = tasks.box_axis(spec) if task == tasks.DETECTION else None
    if axis is None or spec.shape[axis] == tasks.BOX:
        yield spec.name, output, other
        return
    for name, part in (("boxes", slice(None, tasks.BOX)), ("scores", slice(tasks.BOX, None))):
        chosen = (slice(None),) * axis + (part,)
        yield f"{spec.name}, {name}", output[chosen], other[chosen]


def _differences(axis: int | None, output: np.ndarray, other: np.ndarray) -> dict[str, object]:
    # One sample at a time: maps are large.
    rows = np.array([_sizes(row, right) for row, right in zip(output, other, strict=True)])
    noise, power = rows[:, :2].sum(axis=0)
    error, largest = rows[:, 2:].max(axis=0)
    return {
        "sqnr_db": float(10 * np.log10(np.maximum(power, TINY) / noise)) if noise else EQUAL_DB,
        "max_relative_error": float(error / np.maximum(largest, TINY)),
        "argmax_agreement": None if axis is None else _same_classes(axis, output, other),
        **distances(output.reshape(len(output), -1), other.reshape(len(other), -1)),
    }


def _sizes(row: np.ndarray, right: np.ndarray) -> tuple[float, float, float, float]:
    """The power of the difference and of the right values, and the largest absolute value of both."""
    right = right.astype(np.float64)
    difference = np.abs(row - right)
    return np.square(difference).sum(), np.square(right).sum(), difference.max(), np.abs(right).max()


def _same_classes(axis: int, output: np.ndarray, other: np.ndarray) -> float | None:
    classes = other.argmax(axis=axis)
    return float((output.argmax(axis=axis) == classes).mean()) if np.ptp(classes) else None
