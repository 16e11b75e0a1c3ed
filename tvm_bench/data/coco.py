"""Images with boxes, for detection, in COCO's format: PATH/images and PATH/instances.json.

A box is (left, top, right, bottom, class) in pixels of the input, cut to it. The class is the index of its category,
sorted by id.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..spec.errors import UserError
from ..spec.task import DETECTION
from .dataset import Dataset
from .imagefolder import one_in_five, read_image
from .preprocess import InputSpec, placement

ANNOTATIONS = "instances.json"
NO_BOX = -1  # class of the rows that fill up an image with fewer boxes than another


def load(path: str, split: str) -> Dataset:
    """Open one split of the folder `path`: one image in five is for calibration, the others are for testing.

    Crowds are left out. Raises `UserError` for annotations that are missing or not in COCO's format.
    """
    root = Path(path)
    content = _read(root / ANNOTATIONS)
    try:
        classes = {category["id"]: i for i, category in enumerate(sorted(content["categories"], key=lambda c: c["id"]))}
        sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
        names = {root / "images" / image["file_name"]: image["id"] for image in content["images"]}
        boxes: dict[Any, list[tuple[float, ...]]] = defaultdict(list)
        for box in content["annotations"]:
            if not box.get("iscrowd"):
                boxes[box["image_id"]].append((*box["bbox"], classes[box["category_id"]]))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{root / ANNOTATIONS}' is not in COCO's format ({error!r}). Export it again.") from error
    files = one_in_five(sorted(names), split)
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f"coco: '{missing[0]}' is missing, which {ANNOTATIONS} names. Add it.")
    ids = [names[file] for file in files]

    def targets(spec: InputSpec) -> np.ndarray:
        placed = [_placed(boxes[identity], sizes[identity], spec) for identity in ids]
        result = np.full((len(placed), max(map(len, placed)), 5), NO_BOX, np.float32)
        for row, values in zip(result, placed, strict=True):
            row[: len(values)] = values
        return result

    labels = tuple(str(category["name"]) for category in sorted(content["categories"], key=lambda c: c["id"]))
    name = f"coco:{path} ({split})"
    return Dataset(name, labels, None, lambda i: read_image(files[i]), len(files), DETECTION, targets)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"coco: '{path}' cannot be read: {error}. Give a folder with images/ and {ANNOTATIONS}."
        ) from error


def _placed(boxes: list[tuple[float, ...]], size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Boxes (left, top, width, height, class) of an image of `size` (width, height), as boxes of the input."""
    values = np.array(boxes, np.float32).reshape(-1, 5)
    resized, (left, top, right, bottom) = placement(size, spec)
    scale = np.array(resized, np.float32) / np.array(size, np.float32)
    corners = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], axis=1) * np.tile(scale, 2)
    corners = corners - np.array([left, top, left, top], np.float32)
    corners = np.clip(corners, 0, np.tile([right - left, bottom - top], 2).astype(np.float32))
    visible = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    return np.concatenate([corners, values[:, 4:]], axis=1)[visible]
