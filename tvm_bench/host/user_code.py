"""The user's own code: models and backends that are named as modules, and their source files."""

from __future__ import annotations

import importlib
import os
import site
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1]
_user_packages: set[str] = set()  # top-level names that were imported by `import_module`


def import_module(name: str) -> ModuleType:
    """Import the user's module `name`, from the current folder too. Raises `ImportError` as Python does."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # last: a file here must not stand in for an installed package
    _user_packages.add(name.partition(".")[0])
    return importlib.import_module(name)


def loaded_sources() -> list[Path]:
    """The source files of the user's code that this process has loaded, sorted.

    These are all modules of the packages that `import_module` imported, even if these are installed, and every other
    module that belongs neither to Python, nor to an installed package, nor to this project.
    """
    installed: list[str | Path] = [
        *site.getsitepackages(),
        site.getusersitepackages(),
        *sysconfig.get_paths().values(),
        PACKAGE,
    ]
    folders = [Path(folder).resolve() for folder in installed]
    sources = set()
    for name, module in list(sys.modules.items()):
        file: str | None = getattr(module, "__file__", None)
        if not file or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        named = name.partition(".")[0] in _user_packages
        if path.is_file() and (named or not any(path.is_relative_to(folder) for folder in folders)):
            sources.add(path)
    return sorted(sources)
