"""The pictures that ranges of activations are found on, checked before any of them is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..spec.errors import UserError


def checked(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """`batches` as they are. Raises `UserError` where there is none, or one whose images are not of `shape`."""
    count = 0
    for images in batches:
        if images.shape[1:] != shape:
            raise UserError(f"calibration pictures are {images.shape[1:]}, and the network takes {shape}.")
        count += len(images)
        yield images
    if not count:
        raise UserError("the calibration set is empty. Give --data with pictures: ranges cannot be found on nothing.")
