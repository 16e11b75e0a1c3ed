"""Labelled pictures: the embedded default, published sets in their own formats, and folders of one's own."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..errors import unknown
from . import cifar, fashion_mnist, imagefolder, indoor67
from .dataset import Dataset
from .preprocess import InputSpec

SPLITS = ("train", "calibration", "test")
NAMES = ("fashion-mnist", "fashion-mnist:full", "cifar10", "cifar100", "indoor67", "imagefolder:PATH")


def load(name: str, split: str) -> Dataset:
    """Open one of `NAMES`; `cifar10:PATH`, `cifar100:PATH` and `indoor67:PATH` say where the set is.

    `split` is one of `SPLITS`; calibration pictures are never among the test pictures.
    Raises `UserError` for an unknown name, or where the files are not to be found or damaged.
    """
    kind, _, argument = name.partition(":")
    if kind == "fashion-mnist" and argument in ("", "full"):
        return fashion_mnist.load(split, full=argument == "full")
    if kind in cifar.PUBLISHED:
        return cifar.load(kind, argument, split)
    if kind == "indoor67":
        return indoor67.load(argument, split)
    if kind == "imagefolder" and argument:
        return imagefolder.load(argument, split)
    raise unknown("data set", name, NAMES)


def noise(spec: InputSpec, count: int = 64) -> Dataset:
    """Seeded pictures of noise, without labels: to compare variants with each other where there is no data."""
    _, height, width = spec.shape
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return Dataset("noise", (), None, lambda i: Image.fromarray(pixels[i]), count)
