"""Compile CNNs with Apache TVM, and measure them beside everything else that runs them on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backends.relay.library import Library

__version__ = "0.1.0"


def load(artifact: str | Path, *, threads: int | None = None) -> Library:
    """Open a built library: `tvm_bench.load("artifacts/resnet18/int8-relay")`. See `backends.relay.library.load`."""
    from .backends.relay import library

    return library.load(Path(artifact), threads=threads)
