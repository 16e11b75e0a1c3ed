"""The terminal that all commands print to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 132


def console() -> Console:
    """The terminal; for a file or a pipe, which have no width, one that is wide enough for the tables."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
