"""Opening a `lib.so` runs code: its manifest is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tvm

from ...host import manifest


def open_verified(artifact: Path) -> tuple[dict[str, Any], tvm.runtime.Module]:
    """The manifest and the library of the folder `artifact`. Raises `UserError` as `manifest.verify` does."""
    about = manifest.verify(artifact)
    manifest.need_relay(artifact, about)
    return about, tvm.runtime.load_module(str(artifact / manifest.LIBRARY))
