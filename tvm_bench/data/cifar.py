"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"), Python version."""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..spec.errors import UserError
from . import safe_pickle
from .dataset import CALIBRATION, Dataset, drawn

DEFAULT = Path("data")  # where torchvision.datasets.CIFAR10("data", download=True) puts it
SIDE = 32


@dataclass(frozen=True)
class _Published:
    """What is published under one name: the archive, the folder in it, and the files and keys in that."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: bytes
    names: bytes

    @property
    def url(self) -> str:
        return f"https://www.cs.toronto.edu/~kriz/{self.archive}"


PUBLISHED = {
    "cifar10": _Published(
        archive="cifar-10-python.tar.gz",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        labels=b"labels",
        names=b"label_names",
    ),
    "cifar100": _Published(
        archive="cifar-100-python.tar.gz",
        folder="cifar-100-python",
        train=("train",),
        test="test",
        meta="meta",
        labels=b"fine_labels",
        names=b"fine_label_names",
    ),
}


def load(name: str, path: str, split: str) -> Dataset:
    """Open `cifar10` or `cifar100` at `path` (the archive, its folder, or what holds one; empty: `data`).

    `calibration` is 512 seeded training pictures. Raises `UserError` where there is none, or where it is damaged.
    """
    about = PUBLISHED[name]
    source = find(name, path)
    files = (about.meta, *((about.test,) if split == "test" else about.train))
    read = _read_archive if source.is_file() else _read_folder
    meta, *parts = (
        safe_pickle.loads(data, f"{file} of {source}")
        for file, data in zip(files, read(source, about.folder, files), strict=True)
    )
    classes = _classes(meta, about, source)
    images, labels = zip(*(_images_and_labels(part, about, len(classes), source) for part in parts), strict=True)
    pixels = np.concatenate(images).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    wanted = np.concatenate(labels)
    if split == "calibration":
        chosen = drawn(range(len(pixels)), CALIBRATION)
        pixels, wanted = pixels[chosen], wanted[chosen]
    return _dataset(f"{name} ({split})", classes, pixels, wanted)


def _dataset(name: str, classes: tuple[str, ...], pixels: np.ndarray, labels: np.ndarray) -> Dataset:
    from PIL import Image

    return Dataset(name, classes, labels, lambda i: Image.fromarray(np.ascontiguousarray(pixels[i])), len(pixels))


def find(name: str, given: str) -> Path:
    """The extracted folder where there is one, else the archive. Raises `UserError` where there is neither."""
    about, path = PUBLISHED[name], Path(given) if given else DEFAULT
    for found in (path, path / about.folder, path / about.archive):
        if (found / about.meta).is_file() or (found.is_file() and tarfile.is_tarfile(found)):
            return found
    raise UserError(
        f"{name} was not found in '{path}': neither {about.folder}/{about.meta} nor {about.archive}. Get {about.url}, "
        f"put it into '{DEFAULT}' (it need not be unpacked), or say where it is: --data {name}:PATH."
    )


def _read_folder(folder: Path, _: str, files: tuple[str, ...]) -> list[bytes]:
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise UserError(f"'{folder}' lacks {', '.join(missing)}. Unpack the archive again.")
    return [(folder / file).read_bytes() for file in files]


def _read_archive(archive: Path, folder: str, files: tuple[str, ...]) -> list[bytes]:
    """The named files only; nothing is unpacked to disk."""
    try:
        with tarfile.open(archive) as opened:
            found = [opened.extractfile(f"{folder}/{file}") for file in files]
            return [each.read() for each in found if each]
    except KeyError as error:
        raise UserError(f"'{archive}' holds no {error.args[0]}: it is not the published archive.") from error
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"'{archive}' cannot be read: {error}. Get it again.") from error


def _classes(meta: object, about: _Published, source: Path) -> tuple[str, ...]:
    names = meta.get(about.names) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes) for name in names):
        raise UserError(f"{about.meta} of '{source}' holds no list of names under {about.names!r}. Get the set again.")
    return tuple(name.decode("utf-8", "replace") for name in names)


def _images_and_labels(part: object, about: _Published, classes: int, source: Path) -> tuple[np.ndarray, np.ndarray]:
    images = part.get(b"data") if isinstance(part, dict) else None
    labels = part.get(about.labels) if isinstance(part, dict) else None
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != 3 * SIDE * SIDE:
        raise UserError(f"'{source}': b'data' is not a uint8 array (pictures, {3 * SIDE * SIDE}). Get the set again.")
    if not isinstance(labels, list) or len(labels) != len(images):
        raise UserError(f"'{source}': {about.labels!r} is not a list of {len(images)} labels. Get the set again.")
    if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
        raise UserError(f"'{source}': a label in {about.labels!r} is not a number from 0 to {classes - 1}.")
    return images, np.array(labels, np.int64)
