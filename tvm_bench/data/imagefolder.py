"""The user's own images: PATH/<class>/<image>, or PATH/<image> without labels."""

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
    """Open one split of the folder `path`.

    If PATH/train and PATH/test (or PATH/val) exist, they are the splits, and calibration images are drawn from
    PATH/train. Any other folder is split: one image in five is for calibration, the others are for testing, none is
    for training. Classes are the names of the sub-folders, sorted. Raises `UserError` for a split without images, and
    for test classes that are missing in PATH/train.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"imagefolder: '{path}' is not a folder. Give a folder of <class>/<image> files.")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if train.is_dir() and test:
        folder = test if split == "test" else train
        classes, files = _classes(train), _image_files(folder)
        if split == "calibration":
            files = drawn(files, CALIBRATION)
    elif split == "train":
        raise UserError(
            f"imagefolder: training needs '{train}' and '{root / 'test'}' (or 'val'), each with <class>/<image> files. "
            "A model cannot be tested on its training images."
        )
    else:
        folder, classes, files = root, _classes(root), _image_files(root)
        files = one_in_five(files, split)
    if not files:
        raise UserError(
            f"imagefolder: no {split} images below '{folder}'. Allowed file types: {', '.join(sorted(SUFFIXES))}."
        )
    name = f"imagefolder:{path} ({split})"
    labelled = all(file.parent != folder for file in files)
    labels = np.array([_label(file, folder, classes) for file in files], np.int64) if labelled else None
    return Dataset(name, classes, labels, lambda i: read_image(files[i]), len(files))


def one_in_five(files: list[Path], split: str) -> list[Path]:
    """One file in five for calibration, the others for testing."""
    held_out = set(drawn(files, min(CALIBRATION, max(1, len(files) // 5))))
    return [file for file in files if (file in held_out) == (split == "calibration")]


def _classes(folder: Path) -> tuple[str, ...]:
    """Names of the sub-folders. Raises `UserError` for one without images."""
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    empty = [name for name in names if not _image_files(folder / name)]
    if empty:
        raise UserError(
            f"imagefolder: no images in '{folder / empty[0]}'{f' and {len(empty) - 1} more' if empty[1:] else ''}. "
            "Each sub-folder is a class: put images into it, or delete it."
        )
    return names


def _label(file: Path, folder: Path, classes: tuple[str, ...]) -> int:
    name = file.relative_to(folder).parts[0]
    if name not in classes:
        raise UserError(
            f"imagefolder: class '{name}' is in the test folder '{folder}' but not in the training folder. "
            "Both need the same classes."
        )
    return classes.index(name)


def read_image(path: Path) -> Image:
    """Open one image. Raises `UserError` for a file that is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"'{path}' cannot be read as an image: {error}. Replace or delete it.") from error


def _image_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
