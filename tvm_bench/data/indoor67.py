"""MIT Indoor-67 (Quattoni and Torralba, "Recognizing Indoor Scenes", CVPR 2009): 67 classes of rooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..spec.errors import UserError
from .dataset import CALIBRATION, Dataset, drawn
from .imagefolder import read_image

DEFAULT = Path("data/indoor67")
SITE = "https://web.mit.edu/torralba/www/indoor.html"
LISTS = {"train": "TrainImages.txt", "calibration": "TrainImages.txt", "test": "TestImages.txt"}


def load(path: str, split: str) -> Dataset:
    """Open PATH with `Images/<class>/<image>` and the two published lists (empty: `data/indoor67`).

    `calibration` has 512 seeded training images. Raises `UserError` for missing files and damaged lists.
    """
    root = Path(path) if path else DEFAULT
    images = root / "Images"
    missing = [name for name in ("Images", *sorted(set(LISTS.values()))) if not (root / name).exists()]
    if missing:
        raise UserError(
            f"indoor67 was not found: '{root}' lacks {', '.join(missing)}. Get indoorCVPR_09.tar from {SITE}, unpack "
            f"it in '{root}', and put TrainImages.txt and TestImages.txt from that site beside Images/. For another "
            "folder give --data indoor67:PATH."
        )
    train, test = (_listed(root / name) for name in ("TrainImages.txt", "TestImages.txt"))
    shared = sorted(set(train) & set(test))
    if shared:
        raise UserError(f"'{shared[0]}' and {len(shared) - 1} more are in both lists of '{root}'. Download them again.")
    classes = tuple(sorted({name.split("/")[0] for name in train}))
    names = test if split == "test" else train
    unknown = sorted({name.split("/")[0] for name in names} - set(classes))
    if unknown:
        raise UserError(
            f"'{root}': these classes are in TestImages.txt but not in TrainImages.txt: {', '.join(unknown)}. "
            "Download the lists again."
        )
    absent = [name for name in names if not (images / name).is_file()]
    if absent:
        raise UserError(
            f"{len(absent)} images of {LISTS[split]} are not in '{images}'; the first is '{absent[0]}'. "
            "Unpack indoorCVPR_09.tar again."
        )
    if split == "calibration":
        names = drawn(names, CALIBRATION)
    labels = np.array([classes.index(name.split("/")[0]) for name in names], np.int64)
    return Dataset(f"indoor67 ({split})", classes, labels, lambda i: read_image(images / names[i]), len(names))


def _listed(path: Path) -> list[str]:
    """The lines `<class>/<image>` of a list. Raises `UserError` for others, such as one that leads out of `Images`."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if len(parts := line.split("/")) != 2 or ".." in parts or not all(parts)]
    if wrong or not lines:
        raise UserError(f"'{path}' is not a list of <class>/<image>: {wrong[:1] or 'it is empty'}. Download it again.")
    return lines
