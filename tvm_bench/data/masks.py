"""Images with a mask each, for segmentation: PATH/images and PATH/masks with the same stems, or Pascal VOC's layout.

The layout of VOC is JPEGImages, SegmentationClass and ImageSets/Segmentation/{train,val}.txt. The value of a pixel of a
mask, a greyscale or palette image, is its class; 255 is no class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..spec.errors import UserError
from ..spec.task import SEGMENTATION
from .dataset import CALIBRATION, Dataset, drawn
from .imagefolder import SUFFIXES, one_in_five, read_image
from .preprocess import InputSpec, placement

LAYOUTS = (("images", "masks"), ("JPEGImages", "SegmentationClass"))
LISTS = Path("ImageSets", "Segmentation")


def load(path: str, split: str) -> Dataset:
    """Open one split of the folder `path`: of VOC, `val` is for testing, and calibration images are drawn from `train`;
    of another folder, one image in five is for calibration, and the others are for testing.

    Raises `UserError` for a folder of another layout, and for masks that are missing.
    """
    root = Path(path)
    for images, masks in LAYOUTS:
        if (root / images).is_dir() and (root / masks).is_dir():
            files = _files(root, images, split)
            pairs = [(file, _mask_of(file, root / masks)) for file in files]
            break
    else:
        raise UserError(
            f"masks: '{path}' has neither images/ and masks/ nor JPEGImages/ and SegmentationClass/. "
            "Give a folder that has."
        )
    if not pairs:
        raise UserError(f"masks: no {split} images in '{root / images}'. Put images and their masks there.")

    def targets(spec: InputSpec) -> np.ndarray:
        return np.stack([read_mask(mask, spec) for _, mask in pairs])

    name = f"masks:{path} ({split})"
    return Dataset(name, (), None, lambda i: read_image(pairs[i][0]), len(pairs), SEGMENTATION, targets)


def read_mask(path: Path, spec: InputSpec) -> np.ndarray:
    """The classes of the pixels of an input, int64 (height, width)."""
    from PIL import Image

    mask = read_image(path)
    if mask.mode not in ("L", "P", "1", "I;16", "I"):
        raise UserError(
            f"'{path}' is a {mask.mode} image: a mask has one class per pixel. Save it as a greyscale or palette image."
        )
    size, crop = placement(mask.size, spec)
    return np.asarray(mask.resize(size, Image.Resampling.NEAREST).crop(crop)).astype(np.int64)


def _files(root: Path, images: str, split: str) -> list[Path]:
    lists = root / LISTS
    files = sorted(file for file in (root / images).iterdir() if file.suffix.lower() in SUFFIXES)
    if not lists.is_dir():
        return one_in_five(files, split)
    stems = set((lists / ("val.txt" if split == "test" else "train.txt")).read_text().split())
    files = [file for file in files if file.stem in stems]
    return drawn(files, CALIBRATION) if split == "calibration" else files


def _mask_of(image: Path, folder: Path) -> Path:
    for suffix in (".png", *SUFFIXES):
        if (mask := folder / (image.stem + suffix)).is_file():
            return mask
    raise UserError(f"masks: '{image.name}' has no mask '{image.stem}.png' in '{folder}'. Add it, or remove the image.")
