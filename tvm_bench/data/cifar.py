"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"), Python version."""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..spec.errors import UserError
from . import safe_pickle
from .dataset import CALIBRATION, Dataset

DEFAULT = Path("data")  # where torchvision.datasets.CIFAR10("data", download=True) puts it
SIDE = 32


@dataclass(frozen=True)
class _Published:
    """A published data set: the archive, the folder in it, the files in the folder, and their keys."""

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
    """Open `cifar10` or `cifar100` at `path`: the archive, its folder, or a folder of either (empty: `data`).

    `calibration` has 512 seeded training images. Raises `UserError` for missing or damaged files.
    """
    published = PUBLISHED[name]
    source = find(name, path)
    files = (published.meta, *((published.test,) if split == "test" else published.train))
    read = _read_archive if source.is_file() else _read_folder
    meta, *parts = (
        safe_pickle.loads(data, f"{file} of {source}")
        for file, data in zip(files, read(source, published.folder, files), strict=True)
    )
    classes = _classes(meta, published, source)
    images, labels = zip(*(_arrays(part, published, len(classes), source) for part in parts), strict=True)
    pixels = np.concatenate(images).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    targets = np.concatenate(labels)
    found = _dataset(f"{name} ({split})", classes, pixels, targets)
    return found.drawn(CALIBRATION) if split == "calibration" else found


def _dataset(name: str, classes: tuple[str, ...], pixels: np.ndarray, labels: np.ndarray) -> Dataset:
    from PIL import Image

    return Dataset(name, classes, labels, lambda i: Image.fromarray(np.ascontiguousarray(pixels[i])), len(pixels))


def find(name: str, argument: str) -> Path:
    """The extracted folder if there is one, else the archive. Raises `UserError` if there is neither."""
    published, path = PUBLISHED[name], Path(argument) if argument else DEFAULT
    for candidate in (path, path / published.folder, path / published.archive):
        if (candidate / published.meta).is_file() or (candidate.is_file() and tarfile.is_tarfile(candidate)):
            return candidate
    raise UserError(
        f"{name} was not found in '{path}': neither {published.folder}/{published.meta} nor {published.archive}. "
        f"Download {published.url} into '{DEFAULT}' (no need to unpack it), or give its path: --data {name}:PATH."
    )


def _read_folder(folder: Path, _: str, files: tuple[str, ...]) -> list[bytes]:
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise UserError(f"'{folder}' lacks {', '.join(missing)}. Unpack the archive again.")
    return [(folder / file).read_bytes() for file in files]


def _read_archive(archive: Path, folder: str, files: tuple[str, ...]) -> list[bytes]:
    """The contents of `files`; nothing is unpacked to disk."""
    try:
        with tarfile.open(archive) as opened:
            members = [opened.extractfile(f"{folder}/{file}") for file in files]
            return [member.read() for member in members if member]
    except KeyError as error:
        raise UserError(f"'{archive}' holds no {error.args[0]}. Download the published archive again.") from error
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"'{archive}' cannot be read: {error}. Download it again.") from error


def _classes(meta: object, published: _Published, source: Path) -> tuple[str, ...]:
    names = meta.get(published.names) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes) for name in names):
        raise UserError(
            f"{published.meta} of '{source}' has no list of names under {published.names!r}. Download the set again."
        )
    return tuple(name.decode("utf-8", "replace") for name in names)


def _arrays(part: object, published: _Published, classes: int, source: Path) -> tuple[np.ndarray, np.ndarray]:
    images = part.get(b"data") if isinstance(part, dict) else None
    labels = part.get(published.labels) if isinstance(part, dict) else None
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != 3 * SIDE * SIDE:
        raise UserError(f"'{source}': b'data' is no uint8 array (images, {3 * SIDE * SIDE}). Download the set again.")
    if not isinstance(labels, list) or len(labels) != len(images):
        raise UserError(
            f"'{source}': {published.labels!r} is not a list of {len(images)} labels. Download the set again."
        )
    if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
        raise UserError(
            f"'{source}': a label in {published.labels!r} is not a number from 0 to {classes - 1}. "
            "Download the set again."
        )
    return images, np.array(labels, np.int64)
