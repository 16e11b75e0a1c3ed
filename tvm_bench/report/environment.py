"""The machine and the settings as lines of a key and a text."""

from __future__ import annotations

import shlex

from ..analysis.results import Results, flat


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
