"""The task of a model, guessed from its inputs and outputs. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from .errors import UserError
from .tensors import TensorSpec

CLASSIFICATION, DETECTION, SEGMENTATION, ANY = TASKS = ("classification", "detection", "segmentation", "any")
BOX = 4  # numbers of a box
# Detectors predict boxes for each cell of grids with these strides, at most so many for a cell.
STRIDES, BOXES_PER_CELL = (4, 8, 16, 32, 64), (1, 2, 3, 4, 6, 9)


def guess(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """The task.

    It is classification for one output (batch, classes), segmentation for maps of the size of the image, detection for
    an output with numbers for each box, or boxes with their scores; otherwise any.
    """
    if len(outputs) == 1 and len(outputs[0].shape) == 2 and outputs[0].shape[1] > 1:
        return CLASSIFICATION
    image = next((spec.shape[2:] for spec in inputs if len(spec.shape) == 4), None)
    if image is None:
        return ANY
    if any(len(spec.shape) == 4 and spec.shape[2:] == image and spec.shape[1] != 3 for spec in outputs):
        return SEGMENTATION
    return DETECTION if boxes_with_scores(outputs) or any(box_axis(spec, image) for spec in outputs) else ANY


def check(task: str, outputs: Sequence[TensorSpec]) -> None:
    """Raises `UserError` if a model with these outputs cannot have this task."""
    ranks = {CLASSIFICATION: (2,), SEGMENTATION: (3, 4)}.get(task)
    if ranks and len(outputs[0].shape) not in ranks:
        kind = {CLASSIFICATION: "(batch, classes)", SEGMENTATION: "(batch, classes, height, width)"}[task]
        raise UserError(
            f"--task {task} needs a first output {kind}; this model returns {', '.join(o.text for o in outputs)}. "
            f"Give another --task: {', '.join(TASKS)}."
        )


def class_axis(task: str, output: TensorSpec) -> int | None:
    """The axis of the classes in an output: 1 in scores and maps, the last in sequences; None if there is none."""
    rank = len(output.shape)
    if task == DETECTION or rank < 2 or not output.dtype.startswith("float"):
        return None
    axis = 1 if rank in (2, 4) else rank - 1
    return axis if output.shape[axis] > 1 else None


def box_axis(output: TensorSpec, image: Sequence[int] | None = None) -> int | None:
    """The axis of the numbers of a box, in an output (batch, numbers, boxes) or (batch, boxes, numbers); None if none.

    The first four numbers are the box. With the size of the `image`, the number of boxes must be that of its cells.
    """
    if len(output.shape) != 3:
        return None
    axis = 1 if output.shape[1] < output.shape[2] else 2
    numbers, boxes = output.shape[axis], output.shape[3 - axis]
    if numbers < BOX or (image is not None and boxes not in _box_counts(image)):
        return None
    return axis


def boxes_with_scores(outputs: Sequence[TensorSpec]) -> bool:
    """Whether there are boxes (batch, boxes, 4), and scores (batch, boxes) or (batch, boxes, classes)."""
    boxes = next((spec for spec in outputs if spec.shape[2:] == (BOX,)), None)
    return boxes is not None and any(
        spec.dtype.startswith("float") and spec.shape[:2] == boxes.shape[:2] and len(spec.shape) in (2, 3)
        for spec in outputs
        if spec is not boxes
    )


def _box_counts(image: Sequence[int]) -> set[int]:
    cells = [-(-image[0] // stride) * -(-image[1] // stride) for stride in STRIDES]
    grids = [sum(grid) for count in (2, 3, 4, 5) for grid in combinations(cells, count)]
    return {count * boxes for count in grids for boxes in BOXES_PER_CELL}
