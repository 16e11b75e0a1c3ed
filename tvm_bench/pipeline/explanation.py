"""The command `explain`: reads the machine code of a library, runs it if this CPU can, and finds what limits it.

`explain_onnx` does the same for an ONNX file in ONNX Runtime, and `compare` says where the time went between two
libraries.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from ..analysis.explanation import explained, layer_changes, onnx_session
from ..analysis.explanation.explained import Explanation
from ..analysis.explanation.layer_changes import Comparison, Profile
from ..analysis.explanation.onnx_session import SessionExplanation
from ..analysis.explanation.roofline import Machine
from ..analysis.machine_code import kernel_code
from ..host import cpu, machine, manifest
from ..jobs import launcher
from ..jobs.launcher import Job
from ..spec.errors import UserError
from ..spec.sizes import Sizes
from . import compilation


def explain(artifact: Path) -> Explanation:
    """Explain the library in the folder `artifact`.

    A library for another CPU is read only. Raises `UserError` for a folder without a library, and for changed files.
    """
    about = manifest.verify_files(artifact)
    codes = kernel_code.of_library(artifact / manifest.LIBRARY, about["kernels"])
    runs = not cpu.missing(about["cpu_features"])
    measured = compilation.profiled([artifact], about["threads"], limits=True) if runs else {}
    (library,) = measured.get("libraries", [{}])
    return explained.explain(
        about,
        codes,
        library.get("kernels", {}),
        Machine(measured.get("peaks", {}), machine.cache_bytes(), about["threads"]),
        library.get("model_ms"),
        cpu.host_features(),
        cpu.cores(),
    )


def explain_onnx(path: Path, sizes: Sizes, threads: int) -> SessionExplanation:
    """Explain the ONNX file `path` in ONNX Runtime with this thread count. `sizes` are those of open dimensions.

    Raises `UserError` for a file that does not run.
    """
    if not path.is_file():
        raise UserError(f"there is no file '{path}'. Give an .onnx file, or the folder of a library.")
    request = {"path": str(path.absolute()), "threads": threads, **asdict(sizes)}
    with tempfile.TemporaryDirectory() as folder:
        job = Job("profile_onnx", request, Path(folder), "profile", threads=threads, reuse=False)
        measured = launcher.run(job)["result"]
    return onnx_session.explain(measured, cpu.host_features())


def compare(old: Path, new: Path) -> Comparison:
    """Compare the libraries in two folders layer by layer: both run in one process, in turns.

    Raises `UserError` for what is no library of this CPU, and for libraries of different thread counts.
    """
    pair = [manifest.verify(artifact) for artifact in (old, new)]
    first, second = (about["threads"] for about in pair)
    if first != second:
        raise UserError(
            f"'{old}' was built with --threads {first}, and '{new}' with {second}. Build one again with the number of "
            "the other."
        )
    measured = compilation.profiled([old, new], first)["libraries"]
    profiles = [
        Profile(about["kernels"], library["kernels"], library["model_ms"])
        for about, library in zip(pair, measured, strict=True)
    ]
    return layer_changes.compare(*profiles)
