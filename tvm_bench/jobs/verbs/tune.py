"""The verb `tune`: one step of one tuner."""

from __future__ import annotations

import importlib
from typing import Any

from ... import backends


def run(tuner: str, **request: Any) -> dict[str, Any]:
    """Run one step of `tuner` and return its tasks; see `backends.relay.tuners.request.TuningStep`."""
    module = importlib.import_module(f"{backends.__name__}.relay.tuners.{tuner}")
    return module.tune(**request)
