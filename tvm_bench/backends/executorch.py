"""ExecuTorch on the CPU, with its delegate XNNPACK. It runs in the environment `executorch`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

# `executorch.runtime` wraps it, and imports the compiler: seconds, and more than 100 MB.
from executorch.extension.pybindings import _C as runtime

from ..spec.errors import UserError
from ..spec.tensors import Arrays

OPENED: set[Path] = set()  # by this process


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open a `.pte` file. Raises `UserError` if this process has opened files for another number of `threads`."""
    _set_threads(threads)
    OPENED.add(artifact)
    method = runtime._load_program(str(artifact)).load_method("forward")

    def run(inputs: Arrays) -> Arrays:
        return tuple(output.numpy() for output in method([torch.from_numpy(array) for array in inputs]))

    return run


def _set_threads(threads: int) -> None:
    """Set the threads of the process. An open file would call those that it was opened with, and crash."""
    existing = runtime._threadpool_get_thread_count()
    if existing == threads:
        return
    if OPENED:
        raise UserError(
            f"ExecuTorch has {existing} threads in this process since the first file was opened, and {threads} were "
            f"asked for. Give threads={existing}, or open the file in another process."
        )
    runtime._unsafe_reset_threadpool(threads)
