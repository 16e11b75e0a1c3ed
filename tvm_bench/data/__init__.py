"""Labelled images: the embedded default, published data sets in their own formats, and the user's own folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ..host import dataset_folders
from ..spec import embedded
from ..spec.errors import UserError, unknown
from . import cifar, coco, fashion_mnist, imagefolder, indoor67, masks
from .dataset import Dataset
from .preprocess import InputSpec

SPLITS = ("train", "calibration", "test")
NAMES = (
    *("fashion-mnist", "fashion-mnist:full", "cifar10", "cifar100", "indoor67", "imagefolder:PATH"),
    *("masks:PATH", "coco:PATH"),
)


def load(name: str, split: str) -> Dataset:
    """Open one of `NAMES`; `cifar10:PATH`, `cifar100:PATH` and `indoor67:PATH` name the folder of the data set.

    `split` is one of `SPLITS`. No calibration image is also a test image.
    Raises `UserError` for an unknown name, and for files that are missing or damaged.
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
    if kind == "masks" and argument:
        return masks.load(argument, split)
    if kind == "coco" and argument:
        return coco.load(argument, split)
    raise unknown("data set", name, NAMES)


def calibration(name: str, count: int) -> Dataset:
    """The calibration images, or `count` training images if those are too few and there are any here."""
    images = load(name, "calibration")
    if len(images) >= count:
        return images
    try:
        return load(name, "train").drawn(count)
    except UserError:
        return images


def version(name: str) -> str:
    """A hash that changes when a file of the data set is added, removed or written. `load` must be able to open it."""
    kind, _, argument = name.partition(":")
    if kind == "fashion-mnist":
        full = dataset_folders.fashion_mnist()  # also of the embedded subset: training takes the full set
        roots = [embedded.IMAGES, *([full] if full else [])]
    elif kind in cifar.PUBLISHED:
        roots = [cifar.find(kind, argument)]
    else:
        roots = [Path(argument) if argument else indoor67.DEFAULT]
    return version_of(
        file for root in roots for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file()
    )


def version_of(files: Iterable[Path]) -> str:
    """A hash that changes when one of the files is added, removed or written."""
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def noise(spec: InputSpec, count: int = 64) -> Dataset:
    """Seeded images of noise, without labels: used to compare variants when there is no data."""
    _, height, width = spec.shape
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return Dataset("noise", (), None, lambda i: Image.fromarray(pixels[i]), count)
