"""Messages for errors of the operating system that a user can fix. Standard library only."""

from __future__ import annotations

import errno
import os

UNWRITABLE = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM}


def explained(error: BaseException) -> str | None:
    """Returns what happened and what to do if a file could not be read or written; None for any other error."""
    # Compilers and writers wrap ENOSPC in errors of their own: only its text stays the same.
    if "No space left on device" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
        return f"the disk is full ({error}). Free some space, or give another --artifacts folder, and run again."
    if not isinstance(error, OSError) or error.errno not in UNWRITABLE:
        return None
    if error.filename is not None and _unreadable(error.filename):
        return f"cannot read '{error.filename}': {error.strerror}. Allow this user to read it, or give another file."
    return f"cannot write: {error}. Give an --artifacts folder that you may write to."


def _unreadable(path: str | bytes | int) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.F_OK, effective_ids=effective) and not os.access(path, os.R_OK, effective_ids=effective)
