"""Inputs that a model is fed with, in a fixed order: images of a data set, seeded noise, or arrays of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..spec.errors import UserError
from ..spec.feed import SYNTHETIC, FeedRequest
from ..spec.tensors import Arrays, TensorSpec
from . import samples, synthetic
from .dataset import Dataset
from .preprocess import InputSpec

SYNTHETIC_SAMPLES = 16


@dataclass(frozen=True)
class Feed:
    """`size` samples. `labels` is (samples, …), see `Dataset`, or None.

    `batches(batch, limit)` yields the arrays of each call. Only the first `limit` samples are used (None: all); the
    last one fills up the last batch.
    """

    name: str
    size: int
    labels: np.ndarray | None
    batches: Callable[[int, int | None], Iterator[Arrays]]


def load(request: FeedRequest, split: str, wanted: int = 0) -> Feed:
    """Open the inputs of a request. `split` is one of `data.SPLITS`; samples and synthetic inputs have one split only.

    If more calibration images are `wanted` than there are, training images are taken instead, see `data.calibration`.
    Raises `UserError` for samples that do not fit the inputs, and for a model without images if nothing is given.
    """
    from . import calibration, noise
    from . import load as load_images

    if request.samples == SYNTHETIC:
        drawn = synthetic.arrays(request.inputs, SYNTHETIC_SAMPLES)
        return of_arrays("synthetic inputs", request.inputs, drawn)
    if request.samples:
        path = Path(request.samples)
        stored = samples.read(path)
        fitted = samples.fitted(stored, request.inputs, path)
        casts = samples.casts(stored, request.inputs)
        return of_arrays(f"{path}{f' ({casts})' if casts else ''}", request.inputs, list(fitted.values()))
    if request.spec is None:
        raise UserError(
            f"the inputs are no image ({', '.join(spec.text for spec in request.inputs)}): give --inputs samples.npz "
            "(arrays by input name, first axis = sample), or --inputs synthetic."
        )
    spec = InputSpec.from_dict(request.spec)
    if not request.data:
        return of_images(noise(spec), spec)
    return of_images(
        calibration(request.data, wanted) if split == "calibration" else load_images(request.data, split), spec
    )


def from_json(fields: Mapping[str, Any], split: str) -> Feed:
    """`load` for the fields of a request."""
    return load(FeedRequest.from_dict(fields), split)


def of_images(images: Dataset, spec: InputSpec) -> Feed:
    """The images of a data set, for a model with one image input."""

    def batches(batch: int, limit: int | None = None) -> Iterator[Arrays]:
        return ((inputs,) for inputs in images.batches(spec, batch, limit))

    return Feed(images.name, len(images), images.labels_for(spec), batches)


def of_arrays(name: str, inputs: Sequence[TensorSpec], arrays: Sequence[np.ndarray]) -> Feed:
    """An array (samples, …) for each input."""
    size = len(arrays[0])

    def batches(batch: int, limit: int | None = None) -> Iterator[Arrays]:
        count = min(size, limit or size)
        for start in range(0, count, batch):
            rows = np.minimum(np.arange(start, start + batch), count - 1)
            yield tuple(
                array[rows] if spec.batched else array[start] for spec, array in zip(inputs, arrays, strict=True)
            )

    return Feed(name, size, None, batches)


def timed(request: FeedRequest, count: int) -> list[np.ndarray]:
    """An array (samples, …) for each input, to time a variant on: the first `count` samples, or synthetic ones."""
    if not request.samples or request.samples == SYNTHETIC:
        return synthetic.arrays(request.inputs, count)
    path = Path(request.samples)
    fitted = samples.fitted(samples.read(path), request.inputs, path)
    return [array[:count] for array in fitted.values()]
