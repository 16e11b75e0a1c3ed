"""A data set: images in a fixed order, with or without labels."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import UserError
from ..spec.task import CLASSIFICATION
from .preprocess import InputSpec, network_input

if TYPE_CHECKING:
    from PIL.Image import Image

CALIBRATION = 512  # images


@dataclass(frozen=True)
class Dataset:
    """Images in a fixed order. `labels` is int64 (images,), or None if the images have no class each.

    `targets` gives the labels of another `task`, for inputs of a spec: int64 (images, height, width) for segmentation,
    float32 (images, boxes, 5) for detection, see `masks` and `coco`.
    """

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray | None
    image: Callable[[int], Image]
    size: int
    task: str = CLASSIFICATION
    targets: Callable[[InputSpec], np.ndarray] | None = None

    def __len__(self) -> int:
        return self.size

    def required_labels(self) -> np.ndarray:
        """The labels, int64 (images,). Raises `UserError` if there are none."""
        if self.labels is None:
            raise UserError(f"{self.name} has no labels. Give --data with labelled images, in PATH/<class>/<image>.")
        return self.labels

    def labels_for(self, spec: InputSpec) -> np.ndarray | None:
        """The labels of the images as inputs of `spec`; None if there are none."""
        return self.targets(spec) if self.targets else self.labels

    def batches(self, spec: InputSpec, batch: int, limit: int | None = None) -> Iterator[np.ndarray]:
        """Inputs in order, float32 (batch, channels, height, width). The last image fills up the last batch."""
        count = min(self.size, limit or self.size)
        for start in range(0, count, batch):
            indices = [min(i, count - 1) for i in range(start, start + batch)]
            yield np.stack([network_input(self.image(i), spec) for i in indices])

    def drawn(self, count: int) -> Dataset:
        """`count` of the images (all if there are fewer), by the function `drawn`."""
        chosen = drawn(range(self.size), count)

        def targets(spec: InputSpec) -> np.ndarray:
            assert self.targets
            return self.targets(spec)[chosen]

        return replace(
            self,
            labels=None if self.labels is None else self.labels[chosen],
            image=lambda i: self.image(chosen[i]),
            size=len(chosen),
            targets=self.targets and targets,
        )


def drawn(items: Sequence[Any], count: int) -> list[Any]:
    """`count` random items (all if there are fewer), sorted. The choice is seeded: it is always the same."""
    return sorted(random.Random(0).sample(items, min(count, len(items))))
