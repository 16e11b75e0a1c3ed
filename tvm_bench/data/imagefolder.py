"""One's own pictures: PATH/<class>/<picture>, or PATH/<picture> where there are no labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..spec.errors import UserError
from .dataset import CALIBRATION, Dataset, drawn

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}


def load(path: str, split: str) -> Dataset:
    """PATH/train and PATH/test (or PATH/val) are used as such, and calibration is drawn from the first.

    Any other folder is split, one picture in five for calibration and none for training. Classes are the names of the
    sub-folders, in order. Raises `UserError` where there are no pictures, or where the folders do not fit.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"imagefolder: '{path}' is not a folder. Give one that holds <class>/<picture> files.")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if train.is_dir() and test:
        folder = test if split == "test" else train
        classes, files = _classes(train), _pictures(folder)
        if split == "calibration":
            files = drawn(files, CALIBRATION)
    elif split == "train":
        raise UserError(
            f"imagefolder: training needs '{train}' and '{root / 'test'}' (or 'val'), each with <class>/<picture>: "
            "pictures that a network learned from cannot test it."
        )
    else:
        folder, classes, files = root, _classes(root), _pictures(root)
        held_out = set(drawn(files, min(CALIBRATION, max(1, len(files) // 5))))
        files = [file for file in files if (file in held_out) == (split == "calibration")]
    if not files:
        raise UserError(
            f"imagefolder: no {split} pictures below '{folder}'. Known kinds: {', '.join(sorted(SUFFIXES))}."
        )
    name = f"imagefolder:{path} ({split})"
    labelled = all(file.parent != folder for file in files)
    labels = np.array([_label(file, folder, classes) for file in files], np.int64) if labelled else None
    return Dataset(name, classes, labels, lambda i: read_picture(files[i]), len(files))


def _classes(folder: Path) -> tuple[str, ...]:
    """Names of the sub-folders. Raises `UserError` for one without pictures."""
    names = tuple(sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")))
    empty = [name for name in names if not _pictures(folder / name)]
    if empty:
        raise UserError(
            f"imagefolder: no pictures in '{folder / empty[0]}'{f' and {len(empty) - 1} more' if empty[1:] else ''}. "
            "Every sub-folder is a class: fill it, or delete it."
        )
    return names


def _label(file: Path, folder: Path, classes: tuple[str, ...]) -> int:
    name = file.relative_to(folder).parts[0]
    if name not in classes:
        raise UserError(f"imagefolder: '{folder / name}' is a class that the training folder has not.")
    return classes.index(name)


def read_picture(path: Path) -> Image:
    """Open one picture. Raises `UserError` for a file that is none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"'{path}' cannot be read as a picture: {error}") from error


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
