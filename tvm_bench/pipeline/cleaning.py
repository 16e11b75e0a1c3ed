"""The command `clean`: delete what was built and can be built again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..host import manifest
from ..spec.errors import unknown

BUILT = ("sources", "answers")  # and the folders of libraries
TRAINED = ("training", "compressed", "qat")  # never deleted, and neither are the receipts beside them
JOBS = "jobs"
RESULTS = ("results.json", "report.md", "report.html", "plots", "runs", "diff", "figures")


@dataclass(frozen=True)
class Deletable:
    """A file or folder of a model, and its size in MB."""

    path: Path
    size_mb: float


def deletable(root: Path, models: tuple[str, ...], *, results: bool) -> list[Deletable]:
    """What may be deleted below `root`: of `models`, which are names of folders there, or of all.

    That is only what the commands of this package write. Trained and compressed weights stay, and without `results`
    also the results of races. Raises `UserError` for a model that is not there.
    """
    folders = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{JOBS}"))}
    for model in models:
        if model not in folders:
            raise unknown(f"model in {root}", model, folders)
    found = [path for model in models or folders for path in _deletable(folders[model], results)]
    return [Deletable(path, _size(path) / 1e6) for path in found]


def delete(found: list[Deletable]) -> None:
    """Delete them, and the folders of models that are empty then."""
    for path in (item.path for item in found):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for folder in {item.path.parent for item in found}:
        if not any(folder.iterdir()):
            folder.rmdir()


def _deletable(folder: Path, results: bool) -> list[Path]:
    names = list(BUILT)
    if results:
        trained = any((folder / name).exists() for name in TRAINED)
        names += RESULTS if trained else (*RESULTS, JOBS)
    return [path for path in sorted(folder.iterdir()) if path.name in names or (path / manifest.LIBRARY).exists()]


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in (path, *path.rglob("*")) if not file.is_dir())
