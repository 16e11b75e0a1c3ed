"""The terminal that all commands print to."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .parsing import OUTPUT

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 132


def console() -> Console:
    """The terminal; for a file or a pipe, which have no width, one that is wide enough for the tables."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def print_json(value: Any) -> None:
    """Print dataclasses, paths, times and what JSON knows, or write them to the file that --output names.

    A number that is not finite becomes null.
    """
    text = json.dumps(_plain(value), indent=1, allow_nan=False)
    if path := click.get_current_context().meta.get(OUTPUT):
        path.write_text(text + "\n")
        text = str(path)
    click.echo(text)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case datetime():
            return value.isoformat(timespec="seconds")
        case Path():
            return str(value)
        case float() if not math.isfinite(value):
            return None
    return value
