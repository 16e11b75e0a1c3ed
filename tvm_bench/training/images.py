"""Labelled images as a training reads them: a subset of a data set, at one size, augmented or not."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..data.dataset import Dataset
from ..data.preprocess import InputSpec, colour, network_input, normalize
from ..spec.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

VALIDATION_PART = 12  # one training image in so many is held out for validation
AREA = (0.7, 1.0)  # smallest and largest share of the image that a random crop keeps
ASPECT_RATIO = (0.85, 1.18)


@dataclass(frozen=True)
class LabelledImages:
    """The images `indices` of a data set as inputs of one kind of model. `augment` crops and mirrors at random."""

    data: Dataset
    spec: InputSpec
    indices: np.ndarray
    augment: bool = False

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def fingerprint(self) -> str:
        """Changes with the name of the data set, the indices, the labels, and the preprocessing."""
        labels = np.ascontiguousarray(self.data.required_labels()[self.indices]).tobytes()
        settings = f"{self.data.name} {self.spec} {self.augment}".encode()
        return hashlib.sha256(settings + self.indices.tobytes() + labels).hexdigest()

    def at(self, size: int) -> LabelledImages:
        """The same images at `size` x `size` pixels."""
        return self if size == self.spec.shape[1] else replace(self, spec=self.spec.at(size))

    def batches(
        self, positions: list[np.ndarray], seed: int, workers: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs, float32 (batch, channels, height, width), and labels, int64 (batch,), for each array of positions.

        The random crop of an image depends only on `seed` and its index, not on its batch or on the process that
        reads it.
        """
        context = "fork" if workers else None  # a data set opens its images by closures, which cannot be pickled
        return iter(
            DataLoader(
                _Samples(self, seed),
                batch_sampler=[part.tolist() for part in positions],
                num_workers=workers,
                multiprocessing_context=context,
                pin_memory=workers > 0,
                generator=torch.Generator(),  # else it draws from the global one
            )
        )


@dataclass(frozen=True)
class _Samples(torch.utils.data.Dataset):
    images: LabelledImages
    seed: int

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        images, spec = self.images, self.images.spec
        index = int(images.indices[position])
        image = images.data.image(index)
        if images.augment:
            array = normalize(augmented(colour(image, spec), spec, np.random.default_rng((self.seed, index))), spec)
        else:
            array = network_input(image, spec)
        return torch.from_numpy(array), int(images.data.required_labels()[index])


def augmented(image: Image, spec: InputSpec, rng: np.random.Generator) -> Image:
    """A random crop of `image`, resized to the input's height and width, and mirrored half the time.

    Method: Szegedy et al. 2015, arXiv:1409.4842, section 6: area and aspect ratio of the crop are random.
    """
    from PIL import Image as pil

    area = image.width * image.height * rng.uniform(*AREA)
    ratio = math.exp(rng.uniform(math.log(ASPECT_RATIO[0]), math.log(ASPECT_RATIO[1])))
    width = min(image.width, round(math.sqrt(area * ratio)))
    height = min(image.height, round(math.sqrt(area / ratio)))
    left, top = (int(rng.integers(space + 1)) for space in (image.width - width, image.height - height))
    box = (left, top, left + width, top + height)
    crop = image.resize((spec.shape[2], spec.shape[1]), pil.Resampling.BILINEAR, box)
    return crop.transpose(pil.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def split(data: Dataset, spec: InputSpec, *, seed: int = 0) -> tuple[LabelledImages, LabelledImages]:
    """Training images, augmented, and one in twelve for validation. Raises `UserError` if there are too few."""
    order = np.random.default_rng(seed).permutation(len(data))
    held_out = len(data) // VALIDATION_PART
    if data.labels is None or not held_out:
        raise UserError(
            f"{data.name}: training needs at least {VALIDATION_PART} labelled images. Put them into PATH/<class>/."
        )
    return LabelledImages(data, spec, order[held_out:], augment=True), LabelledImages(data, spec, order[:held_out])
