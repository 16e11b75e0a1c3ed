"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747; MIT licence): embedded subset and full data set."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from ..host import dataset_folders
from ..spec import embedded
from ..spec.errors import UserError
from .dataset import Dataset

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PREFIX = {"train": "train", "test": "t10k"}


def load(split: str, *, full: bool) -> Dataset:
    """`test` has the 2,000 embedded images, or all 10,000 with `full`; `train` always has all 60,000."""
    if split == "calibration" or (split == "test" and not full):
        with np.load(embedded.IMAGES) as arrays:
            return _dataset(split, arrays[f"{split}_images"], arrays[f"{split}_labels"])
    folder = find()
    return _dataset(
        f"{split}, full",
        read_idx(folder / f"{PREFIX[split]}-images-idx3-ubyte.gz"),
        read_idx(folder / f"{PREFIX[split]}-labels-idx1-ubyte.gz"),
    )


def find() -> Path:
    """The folder of the full data set. Raises `UserError` if there is none."""
    if folder := dataset_folders.fashion_mnist():
        return folder
    raise UserError(
        f"the full Fashion-MNIST data set was not found in {' or '.join(map(str, dataset_folders.FASHION_MNIST))}. "
        "Install it with `apt-get install dataset-fashion-mnist`, or let torchvision download it: "
        "python -c 'import torchvision; torchvision.datasets.FashionMNIST(\"data\", download=True)'"
    )


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes (yann.lecun.com/exdb/mnist): uint8, in the shape that its header gives."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read as gzipped IDX: {error}. Download the data set again.") from error
    dimensions = raw[3] if len(raw) > 3 else 0
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, offset=4)) if len(raw) >= 4 + 4 * dimensions else ()
    values = np.frombuffer(raw, np.uint8, offset=min(len(raw), 4 + 4 * dimensions))
    if not shape or raw[2] != 8 or values.size != int(np.prod(shape)):
        raise UserError(f"{path} is not an IDX file of bytes, or is cut short. Download the data set again.")
    return values.reshape(shape)


def embed(path: Path = embedded.IMAGES, *, per_class: int = 200, calibration: int = 512) -> None:
    """Write the embedded subset: `per_class` test images of each class, and a seeded choice of training images."""
    train, test = load("train", full=True), load("test", full=True)
    train_labels, test_labels = train.required_labels(), test.required_labels()
    first = np.sort(np.concatenate([np.flatnonzero(test_labels == c)[:per_class] for c in range(len(CLASSES))]))
    drawn = np.sort(np.random.default_rng(0).choice(len(train), calibration, replace=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        test_images=np.stack([np.asarray(test.image(i)) for i in first]),
        test_labels=test_labels[first].astype(np.uint8),
        calibration_images=np.stack([np.asarray(train.image(i)) for i in drawn]),
        calibration_labels=train_labels[drawn].astype(np.uint8),
    )


def _dataset(split: str, images: np.ndarray, labels: np.ndarray) -> Dataset:
    from PIL import Image

    return Dataset(
        f"fashion-mnist ({split})", CLASSES, labels.astype(np.int64), lambda i: Image.fromarray(images[i]), len(images)
    )
