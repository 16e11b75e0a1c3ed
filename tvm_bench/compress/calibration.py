"""Checks the calibration images, which determine the ranges of activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..spec.errors import UserError


def checked(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """`batches`, unchanged. Raises `UserError` if there is none, and for images that are not of `shape`."""
    count = 0
    for images in batches:
        if images.shape[1:] != shape:
            raise UserError(
                f"calibration images are {images.shape[1:]}, but the model takes {shape}. Give --input-shape."
            )
        count += len(images)
        yield images
    if not count:
        raise UserError("the calibration set is empty. Give --data with images.")
