"""The runtimes. A backend is a module with one function:

    def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]

`Arrays` is a tuple of NumPy arrays: of one for each input, in the model's order, and of one for each output. So a timed
call includes the copies that a runtime needs. A callable may have a clock of its own, without copies:

    def time_evaluator(runs: int) -> list[float]        # ms of each run on the inputs of the last call

A runtime is imported only when it is used. `spec/backends.py` lists all backends.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ..host import packages, user_code
from ..spec.backends import named
from ..spec.errors import UserError, first_line
from ..spec.tensors import Arrays


def runtime(name: str) -> ModuleType:
    """Import the backend's module, in the process that uses it. Raises `UserError` if its package is missing."""
    backend = named(name)
    packages.need(backend.packages, gpu=backend.gpu)
    return user_code.import_module(name) if "." in name else importlib.import_module(f"{__name__}.{backend.module}")


def load(name: str, artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open an artifact. Raises `UserError` for a damaged one, whatever error the runtime raises."""
    module = runtime(name)
    try:
        return module.load(artifact, threads=threads)
    except UserError:
        raise
    except Exception as error:
        message = first_line(error)
        raise UserError(
            f"{name} cannot open '{artifact}': {message}. If it is damaged, delete it: the next run writes it again."
        ) from error
