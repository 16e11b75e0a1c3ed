"""Labelled pictures as a training sees them: which ones, at which size, augmented or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..data.dataset import Dataset
from ..data.preprocess import InputSpec, colour, network_input, normalize
from ..models.torchvision_models import import_torchvision
from ..spec.errors import UserError

VALIDATION_SHARE = 12  # one training picture in so many is held out


@dataclass(frozen=True)
class Pictures:
    """The pictures `indices` of a data set as inputs of one kind of network. `augment` crops and mirrors at random."""

    data: Dataset
    spec: InputSpec
    indices: np.ndarray
    augment: bool = False

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def fingerprint(self) -> str:
        """Changes with the data set's name, the choice of pictures, their labels, or how they are scaled."""
        labels = np.ascontiguousarray(self.data.labels[self.indices]).tobytes()
        about = f"{self.data.name} {self.spec} {self.augment}".encode()
        return hashlib.sha256(about + self.indices.tobytes() + labels).hexdigest()

    def at(self, size: int) -> Pictures:
        """The same pictures at `size` x `size` pixels."""
        return self if size == self.spec.shape[1] else replace(self, spec=self.spec.at(size))

    def batches(
        self, positions: list[np.ndarray], seed: int, workers: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Images, float32 (batch, channels, height, width), and labels, int64 (batch,), for each list of positions.

        The random crops depend on `seed` and the picture only: not on its batch, nor on the process that reads it.
        """
        context = "fork" if workers else None  # a data set opens its pictures by closures, which cannot be pickled
        return iter(
            DataLoader(
                _Samples(self, seed),
                batch_sampler=positions,
                num_workers=workers,
                multiprocessing_context=context,
                pin_memory=workers > 0,
            )
        )


@dataclass(frozen=True)
class _Samples(torch.utils.data.Dataset):
    pictures: Pictures
    seed: int

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        pictures = self.pictures
        index = int(pictures.indices[position])
        image = pictures.data.image(index)
        if pictures.augment:
            torch.default_generator.manual_seed(hash((self.seed, index)))
            array = normalize(_augmentation(pictures.spec)(colour(image, pictures.spec)), pictures.spec)
        else:
            array = network_input(image, pictures.spec)
        return torch.from_numpy(array), int(pictures.data.labels[index])


def _augmentation(spec: InputSpec) -> torch.nn.Module:
    """A random crop of 70 to 100 % of the area, and a mirror image half the time."""
    transforms = import_torchvision().transforms
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(spec.shape[1:], scale=(0.7, 1.0), ratio=(0.85, 1.18)),
            transforms.RandomHorizontalFlip(),
        ]
    )


def split(data: Dataset, spec: InputSpec, *, seed: int = 0) -> tuple[Pictures, Pictures]:
    """Training pictures, augmented, and one in twelve held out for validation. Raises `UserError` for too few."""
    order = np.random.default_rng(seed).permutation(len(data))
    held_out = len(data) // VALIDATION_SHARE
    if data.labels is None or not held_out:
        raise UserError(f"{data.name}: training needs {VALIDATION_SHARE} labelled pictures or more, in PATH/<class>/.")
    return Pictures(data, spec, order[held_out:], augment=True), Pictures(data, spec, order[:held_out])
