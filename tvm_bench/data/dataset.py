"""What a data set is to the rest of the project."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .preprocess import InputSpec, network_input

if TYPE_CHECKING:
    from PIL.Image import Image

CALIBRATION = 512  # pictures


@dataclass(frozen=True)
class Dataset:
    """Pictures in a fixed order. `labels` is int64 (images,), or None where nobody labelled them."""

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray | None
    image: Callable[[int], Image]
    size: int

    def __len__(self) -> int:
        return self.size

    def batches(self, spec: InputSpec, batch: int, limit: int | None = None) -> Iterator[np.ndarray]:
        """Network inputs in order, float32 (batch, channels, height, width); the last one is filled up."""
        count = min(self.size, limit or self.size)
        for start in range(0, count, batch):
            indices = [min(i, count - 1) for i in range(start, start + batch)]
            yield np.stack([network_input(self.image(i), spec) for i in indices])


def drawn(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items (or all), always the same ones, sorted."""
    return sorted(random.Random(0).sample(items, min(count, len(items))))
