"""The score of a detector: COCO's mean average precision, by torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spec import task as tasks
from ..spec.tensors import TensorSpec

MIN_SCORE, MAX_OVERLAP, MAX_BOXES = 1e-3, 0.7, 300  # as YOLOv8 is evaluated
MOST_CANDIDATES = 30_000  # before boxes that overlap are suppressed
Detections = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (left, top, right, bottom), scores and classes


def average_precision(
    outputs: Sequence[np.ndarray], labels: np.ndarray, overlap: float = MAX_OVERLAP
) -> dict[str, float]:
    """COCO's `map` (IoU 0.50 to 0.95) and `map50`, 0 to 1.

    `outputs` are those of a detector, see `detections`; `labels` is (images, boxes, 5), see `data.coco`. Of boxes whose
    IoU is larger than `overlap`, the best one counts.
    """
    import torch

    from ..models.torchvision_models import import_torchvision

    import_torchvision()  # torchmetrics imports it
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(backend="faster_coco_eval")
    for found, rows in zip(detections(outputs, overlap), labels, strict=True):
        boxes, scores, classes = map(torch.from_numpy, found)
        right = torch.from_numpy(rows[rows[:, 4] >= 0])
        metric.update(
            [{"boxes": boxes, "scores": scores, "labels": classes}],
            [{"boxes": right[:, :4], "labels": right[:, 4].long()}],
        )
    result = metric.compute()
    return {"map": float(result["map"]), "map50": float(result["map_50"])}


def can_score(outputs: Sequence[TensorSpec]) -> bool:
    """Whether `detections` can read the outputs of a detector."""
    return tasks.box_axis(outputs[0]) == 1 if len(outputs) == 1 else tasks.boxes_with_scores(outputs)


def detections(outputs: Sequence[np.ndarray], overlap: float = MAX_OVERLAP) -> list[Detections]:
    """The boxes of each image.

    `outputs` are raw, (images, 4 + classes, boxes) with centre, size and a score for each class, as YOLOv8 returns
    them; or boxes (images, boxes, 4) with scores (images, boxes, classes). Overlapping boxes of these are suppressed.
    Or they are the boxes that are left, with scores (images, boxes) and, if there are several classes, these.
    """
    if len(outputs) == 1:
        return [_best(*_corners(image), overlap) for image in outputs[0]]
    i = next(i for i, output in enumerate(outputs) if output.ndim == 3 and output.shape[2] == tasks.BOX)
    boxes, others = outputs[i], [*outputs[:i], *outputs[i + 1 :]]
    scores = next(other for other in others if other.dtype.kind == "f" and other.shape[:2] == boxes.shape[:2])
    if scores.ndim == 3:
        return [_best(*image, overlap) for image in zip(boxes, scores, strict=True)]
    classes = next((other for other in others if other.shape == scores.shape and other is not scores), None)
    labels = np.zeros(scores.shape) if classes is None else classes
    return [
        (box.astype(np.float32), score.astype(np.float32), label.astype(np.int64))
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]


def _corners(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (left, top, right, bottom) and scores (boxes, classes) of a raw output (4 + classes, boxes)."""
    raw = raw.T
    centres, halves = raw[:, :2], raw[:, 2 : tasks.BOX] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), raw[:, tasks.BOX :]


def _best(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> Detections:
    """Non-maximum suppression within each class, of boxes (boxes, 4) with scores (boxes, classes)."""
    rows, classes = np.nonzero(scores > MIN_SCORE)
    order = np.argsort(-scores[rows, classes], kind="stable")[:MOST_CANDIDATES]
    rows, classes = rows[order], classes[order]
    candidates = boxes[rows].astype(np.float32)
    # A shift by class keeps boxes of different classes apart.
    shifts = classes * (np.ptp(candidates) + 1) if len(rows) else classes
    kept = _without_overlaps(candidates + shifts[:, None].astype(np.float32), overlap)
    return candidates[kept], scores[rows, classes][kept].astype(np.float32), classes[kept]


def _without_overlaps(boxes: np.ndarray, overlap: float) -> list[int]:
    """The indices of the boxes that overlap no better one. The best box is the first."""
    left, kept = np.arange(len(boxes)), list[int]()
    while len(left) and len(kept) < MAX_BOXES:
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[_overlaps(boxes[best], boxes[left]) <= overlap]
    return kept


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of `box` with each of the `others`."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = sides.clip(0).prod(axis=1)
    areas = [(corners[..., 2:] - corners[..., :2]).prod(axis=-1) for corners in (box, others)]
    return both / np.maximum(areas[0] + areas[1] - both, np.finfo(np.float32).tiny)
