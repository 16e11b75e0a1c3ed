"""The machine and the settings as lines of a key and a text."""

from __future__ import annotations

import shlex
from typing import Any

from ..results import Results


def machine(results: Results) -> list[str]:
    """`cores: 2`, a line each."""
    return [f"{key}: {value}" for key, value in flat(results.machine).items()]


def settings(results: Results) -> list[str]:
    """The settings but for the command, a line each."""
    return [f"{key}: {value}" for key, value in flat(results.settings).items() if key != "command"]


def command(results: Results) -> str:
    """The command that ran the race; empty where it was not recorded."""
    given = results.settings.get("command") or ""
    return given if isinstance(given, str) else shlex.join(given)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested objects as one: `{"mhz": {"now": 2600}}` -> `{"mhz.now": "2600"}`. What is null is left out."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return found
