"""The git checkout that this package runs from. Standard library only."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def commit() -> str | None:
    """The checkout's commit; None if the package was installed without one, or git is missing."""
    return _git("rev-parse", "HEAD")


def dirty() -> bool | None:
    """Whether files differ from the commit, or are in no commit; None if there is no checkout."""
    changes = _git("status", "--porcelain")
    return None if changes is None else bool(changes)


def _git(*arguments: str) -> str | None:
    if not (ROOT / ".git").exists():  # git would also use a checkout in a parent folder, which is another project's
        return None
    try:
        result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return None if result.returncode else result.stdout.strip()
