"""The score of a detector: COCO's mean average precision, by torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..models.torchvision_models import import_torchvision
from ..spec import task as tasks
from ..spec.tensors import TensorSpec

MIN_SCORE, MAX_OVERLAP, MAX_BOXES = 1e-3, 0.7, 300  # as YOLOv8 is evaluated
Detections = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (left, top, right, bottom), scores and classes


def average_precision(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """COCO's `map` (IoU 0.50 to 0.95) and `map50`, 0 to 1.

    `outputs` are those of a detector, see `detections`; `labels` is (images, boxes, 5), see `data.coco`.
    """
    import torch

    import_torchvision()  # torchmetrics imports it
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(backend="faster_coco_eval")
    for found, rows in zip(detections(outputs), labels, strict=True):
        boxes, scores, classes = map(torch.from_numpy, found)
        right = torch.from_numpy(rows[rows[:, 4] >= 0])
        metric.update(
            [{"boxes": boxes, "scores": scores, "labels": classes}],
            [{"boxes": right[:, :4], "labels": right[:, 4].long()}],
        )
    result = metric.compute()
    return {"map": float(result["map"]), "map50": float(result["map_50"])}


def can_score(outputs: Sequence[TensorSpec]) -> bool:
    """Whether `detections` can read the outputs of a detector: raw ones with scores, or boxes with their scores."""
    if len(outputs) == 1:
        return tasks.box_axis(outputs[0]) == 1
    return any(spec.shape[2:] == (4,) for spec in outputs) and any(
        len(spec.shape) == 2 and spec.dtype.startswith("float") for spec in outputs
    )


def detections(outputs: Sequence[np.ndarray]) -> list[Detections]:
    """The boxes of each image.

    `outputs` are raw, (images, 4 + classes, boxes) with centre, size and a score for each class, as YOLOv8 returns
    them; or boxes (images, boxes, 4), and scores and classes (images, boxes) each.
    """
    if len(outputs) == 1:
        return [_decoded(image) for image in outputs[0]]
    boxes = next(output for output in outputs if output.ndim == 3 and output.shape[2] == 4)
    flat = [output for output in outputs if output.ndim == 2]
    scores = next(output for output in flat if output.dtype.kind == "f")
    classes = next((output for output in flat if output is not scores), np.zeros_like(scores))
    return [
        (box.astype(np.float32), score.astype(np.float32), label.astype(np.int64))
        for box, score, label in zip(boxes, scores, classes, strict=True)
    ]


def _decoded(raw: np.ndarray) -> Detections:
    raw = raw.T if raw.shape[0] < raw.shape[1] else raw
    classes, scores = raw[:, 4:].argmax(axis=1), raw[:, 4:].max(axis=1)
    centres, halves = raw[:, :2], raw[:, 2:4] / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
    # A shift by class keeps boxes of different classes apart.
    shifted = boxes + (classes * (boxes.max(initial=0) + 1))[:, None]
    kept = _without_overlaps(shifted, scores)
    return boxes[kept], scores[kept].astype(np.float32), classes[kept]


def _without_overlaps(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Non-maximum suppression: indices of boxes in the order of their scores."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > MIN_SCORE]
    kept: list[int] = []
    while len(order) and len(kept) < MAX_BOXES:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[_overlaps(boxes[best], boxes[rest]) <= MAX_OVERLAP]
    return kept


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of `box` with each of the `others`."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = sides.clip(0).prod(axis=1)
    areas = [(corners[..., 2:] - corners[..., :2]).prod(axis=-1) for corners in (box, others)]
    return both / np.maximum(areas[0] + areas[1] - both, np.finfo(np.float32).tiny)
