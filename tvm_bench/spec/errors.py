"""The one exception that users are meant to see: no traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Says what was given, what is allowed, and what to do."""


class Unavailable(UserError):
    """A package or a device that this machine does not have, and that may be done without."""


def unknown(kind: str, given: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not in a list, with the nearest names first."""
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(near)}?" if near else f"Allowed: {', '.join(names[:40])}."
    return UserError(f"unknown {kind} '{given}'. {hint}")
