"""The settings of a race, and its command."""

from __future__ import annotations

import shlex

from ..analysis.results import Results, flat


def settings(results: Results) -> dict[str, str]:
    """The settings as text by name, without the command."""
    return {key: value for key, value in flat(results.settings).items() if key != "command"}


def command(results: Results) -> str:
    """The command that ran the race; empty if it was not recorded."""
    recorded = results.settings.get("command") or ""
    return recorded if isinstance(recorded, str) else shlex.join(recorded)
