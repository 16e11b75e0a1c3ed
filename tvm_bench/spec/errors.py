"""Exceptions with a message for the user: no traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Error(Exception):
    """The base of all errors of this package."""


class UserError(Error):
    """An error that the user can fix. The message says what was given, what is allowed, and what to do."""


class Unavailable(UserError):
    """This machine lacks a package or a device. A variant that needs it is skipped."""


def first_line(error: BaseException) -> str:
    """The first line of its message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """The error for a `name` that is not `allowed`. Its message suggests the nearest names."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(near)}?" if near else f"Allowed: {', '.join(names[:40])}."
    return UserError(f"unknown {kind} '{name}'. {hint}")
