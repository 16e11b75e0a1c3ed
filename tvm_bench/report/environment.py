"""The settings of a race, and its command."""

from __future__ import annotations

import shlex

from ..analysis.results import Results, flat


def settings(results: Results) -> dict[str, str]:
    """The settings but for the command, as text by name."""
    return {key: value for key, value in flat(results.settings).items() if key != "command"}


def command(results: Results) -> str:
    """The command that ran the race; empty where it was not recorded."""
    recorded = results.settings.get("command") or ""
    return recorded if isinstance(recorded, str) else shlex.join(recorded)
