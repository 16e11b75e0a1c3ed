"""Inputs that a model is fed with, in a fixed order: images of a data set, seeded noise, or arrays of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..spec.feed import FeedRequest
from ..spec.tensors import Arrays
from .dataset import Dataset
from .preprocess import InputSpec


@dataclass(frozen=True)
class Feed:
    """`size` samples. `labels` is int64 (samples,), or None. `batches(batch, limit)` yields the arrays of each call.

    Only the first `limit` samples are used (None: all); the last one fills up the last batch.
    """

    name: str
    size: int
    labels: np.ndarray | None
    batches: Callable[[int, int | None], Iterator[Arrays]]


def load(request: FeedRequest, split: str) -> Feed:
    """Open the inputs of a request. `split` is one of `data.SPLITS`; without data, the inputs are seeded noise."""
    from . import load as load_images
    from . import noise

    assert request.spec, "the input is no image"
    spec = InputSpec.from_dict(request.spec)
    return of_images(load_images(request.data, split) if request.data else noise(spec), spec)


def of_images(images: Dataset, spec: InputSpec) -> Feed:
    """The images of a data set, for a model with one image input."""

    def batches(batch: int, limit: int | None = None) -> Iterator[Arrays]:
        return ((inputs,) for inputs in images.batches(spec, batch, limit))

    return Feed(images.name, len(images), images.labels, batches)


def from_json(fields: Mapping[str, Any], split: str) -> Feed:
    """`load` for the fields of a request."""
    return load(FeedRequest.from_dict(fields), split)
