"""Opens and checks the calibration samples, which determine the ranges of activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..data import feeds
from ..spec.errors import UserError
from ..spec.feed import FeedRequest
from ..spec.tensors import Arrays, TensorSpec


def batches(request: FeedRequest, batch: int, images: int | None) -> Iterator[Arrays]:
    """The first `images` calibration samples (None: all), in batches. Raises `UserError` without data."""
    if not request.data and not request.samples:
        raise UserError("INT8 needs samples for calibration. Give --data with images, or --inputs.")
    return feeds.load(request, "calibration").batches(batch, images)


def checked(batches: Iterable[Arrays], inputs: Sequence[TensorSpec]) -> Iterator[Arrays]:
    """`batches`, unchanged. Raises `UserError` if there is none, and for samples that do not fit the `inputs`."""
    count = 0
    for arrays in batches:
        for spec, array in zip(inputs, arrays, strict=True):
            shape = array.shape[1:] if spec.batched else array.shape
            if shape != spec.sample_shape:
                raise UserError(
                    f"calibration samples of {spec.name} are {shape}, but the model takes {spec.sample_shape}. "
                    "Give --input-shape."
                )
        count += 1
        yield arrays
    if not count:
        raise UserError("the calibration set is empty. Give --data with images, or --inputs with samples.")
