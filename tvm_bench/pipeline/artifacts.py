"""The commands `list` and `verify`: what was built, and whether a library still works as when it was built."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ..host import manifest
from ..jobs import launcher
from ..jobs.launcher import Job
from ..spec.built import Built, Verified
from ..spec.errors import UserError


def built(root: Path) -> Iterator[Built]:
    """The libraries below `root`, by name."""
    for library in sorted(root.glob(f"*/*/{manifest.LIBRARY}")):
        folder, status = library.parent, library.stat()
        try:
            about = manifest.read(folder)
        except UserError:
            about = None
        yield Built(folder, about, status.st_size / 1e6, datetime.fromtimestamp(status.st_mtime))


def verify(artifact: Path) -> Verified:
    """Check files and CPU, then run the library on the inputs of its build.

    Raises `UserError` for a missing or changed file, for a CPU that cannot run it, and for a library that was built on
    a machine that could not run it.
    """
    about = manifest.verify(artifact)
    manifest.need_golden(artifact, about)
    with tempfile.TemporaryDirectory() as folder:  # the artifact's own folder may be read-only
        request = {"artifact": str(artifact)}
        job = Job("verify", request, Path(folder), "verify", threads=about["threads"], reuse=False)
        result = launcher.run(job)["result"]
    return Verified(result["differences"], result["latency_ms"], about["latency_ms_when_built"])
