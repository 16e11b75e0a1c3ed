"""Compile CNNs with Apache TVM, and measure them beside everything else that runs them on a CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .spec.errors import Error, UserError

if TYPE_CHECKING:
    from .api.inspection import Inspection, compare, explain, inspect
    from .api.libraries import compile, export, tune
    from .api.models import compress, diff, sensitivity
    from .api.plots import plot
    from .api.races import Race, bench
    from .backends.relay.library import load
    from .host.progress import progress_to
    from .jobs.launcher import JobError

__version__ = "0.1.0"
__all__ = ["Error", "Inspection", "JobError", "Race", "UserError"]
__all__ += [
    "bench",
    "compare",
    "compile",
    "compress",
    "diff",
    "explain",
    "export",
    "inspect",
    "load",
    "plot",
    "progress_to",
    "sensitivity",
    "tune",
]
# Imported when they are first used: `tvm-bench --help` answers at once, and `load` needs no pipeline.
LAZY = {
    **dict.fromkeys(("Inspection", "compare", "explain", "inspect"), "api.inspection"),
    **dict.fromkeys(("compile", "export", "tune"), "api.libraries"),
    **dict.fromkeys(("compress", "diff", "sensitivity"), "api.models"),
    "plot": "api.plots",
    **dict.fromkeys(("Race", "bench"), "api.races"),
    "JobError": "jobs.launcher",
    "load": "backends.relay.library",
    "progress_to": "host.progress",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'tvm_bench' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY})
