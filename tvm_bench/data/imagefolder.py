"""One's own pictures: PATH/<class>/<picture>, or PATH/<picture> where there are no labels."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .dataset import Dataset

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
CALIBRATION = 512


def load(path: str, split: str) -> Dataset:
    """PATH/train and PATH/test (or PATH/val) are used as such; any other folder is split, one in five for calibration.

    Classes are the names of the sub-folders, in order. Raises `UserError` where there are no pictures.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"imagefolder: '{path}' is not a folder. Give one that holds <class>/<picture> files.")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if train.is_dir() and test:
        folder = test if split == "test" else train
        files = _pictures(folder)
        if split == "calibration":
            files = _drawn(files, CALIBRATION)
    else:
        folder, files = root, _pictures(root)
        held_out = set(_drawn(files, min(CALIBRATION, max(1, len(files) // 5))))
        files = [file for file in files if (file in held_out) == (split == "calibration")]
    if not files:
        raise UserError(
            f"imagefolder: no {split} pictures below '{folder}'. Known kinds: {', '.join(sorted(SUFFIXES))}."
        )
    classes = tuple(sorted({file.parent.name for file in _pictures(folder) if file.parent != folder}))
    labelled = all(file.parent != folder for file in files)
    labels = np.array([classes.index(file.parent.name) for file in files], np.int64) if labelled else None
    return Dataset(f"imagefolder:{path} ({split})", classes, labels, lambda i: read_picture(files[i]), len(files))


def read_picture(path: Path) -> Image:
    """Open one picture. Raises `UserError` for a file that is none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read as a picture: {error}") from error


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)


def _drawn(files: list[Path], count: int) -> list[Path]:
    return sorted(random.Random(0).sample(files, min(count, len(files))))
