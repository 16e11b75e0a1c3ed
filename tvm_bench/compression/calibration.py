"""Checks the calibration samples, which determine the ranges of activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..spec.errors import UserError
from ..spec.tensors import Arrays, TensorSpec


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
