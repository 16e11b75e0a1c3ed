"""The command `explain`: reads the machine code of a library, runs it if this CPU can, and finds what limits it."""

from __future__ import annotations

from pathlib import Path

from ..analysis.explanation import explained
from ..analysis.explanation.explained import Explanation
from ..analysis.explanation.roofline import Machine
from ..analysis.machine_code import kernel_code
from ..host import cpu, machine, manifest
from . import compilation


def explain(artifact: Path) -> Explanation:
    """Explain the library in the folder `artifact`.

    A library for another CPU is read only. Raises `UserError` for a folder without a library, and for changed files.
    """
    about = manifest.verify_files(artifact)
    codes = kernel_code.of_library(artifact / manifest.LIBRARY, about["kernels"])
    runs = not cpu.missing(about["cpu_features"])
    measured = compilation.profiled(artifact, about["threads"], limits=True) if runs else {}
    return explained.explain(
        about,
        codes,
        measured.get("kernels", {}),
        Machine(measured.get("peaks", {}), machine.cache_bytes(), about["threads"]),
        measured.get("model_ms"),
        cpu.host_features(),
        cpu.cores(),
    )
