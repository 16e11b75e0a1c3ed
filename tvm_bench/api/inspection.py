"""`inspect`, `explain` and `compare`: what the compiler did to a model, what limits it, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..analysis.explanation.explained import Explanation
from ..analysis.explanation.layer_changes import Comparison
from ..analysis.explanation.onnx_session import SessionExplanation
from ..host import cpu, manifest
from ..pipeline import compilation, explanation
from ..relay_view import dumps
from ..relay_view.dumps import Stage
from ..spec.sizes import Sizes


class Inspection:
    """A built library from inside. Stages are given by number, or by the beginning of their name."""

    def __init__(self, artifact: Path):
        self.artifact = artifact
        self.stages: list[Stage] = dumps.stages(artifact)

    @property
    def groups(self) -> tuple[dict[str, Any], ...]:
        """The fused groups in the order of execution: operators, the anchor among them, shapes, FLOP."""
        return dumps.fused(self.stages).groups

    @property
    def kernels(self) -> dict[str, dict[str, Any]]:
        """Each kernel with its operators and the source of its schedule."""
        return manifest.read(self.artifact)["kernels"]

    def text(self, stage: str) -> str:
        """The Relay text of a stage."""
        return dumps.text(dumps.find(self.stages, stage), self.artifact)

    def diff(self, a: str, b: str) -> str:
        """The changes from stage `a` to stage `b`: counts of operators, then lines of text."""
        return "\n".join(dumps.diff_lines(dumps.find(self.stages, a), dumps.find(self.stages, b), self.artifact))

    def profile(self) -> dict[str, float]:
        """Milliseconds of each kernel: the library is run. Raises `UserError` if this CPU cannot run it."""
        return compilation.profile(self.artifact)[1]

    def __repr__(self) -> str:
        return f"<{self.artifact}: {', '.join(stage.label for stage in self.stages)}>"


def inspect(artifact: str | Path) -> Inspection:
    """Open the Relay IR of a built library: `tvm_bench.inspect(library.folder)`.

    Raises `UserError` for a folder without a library, and without Relay IR.
    """
    manifest.read(Path(artifact))
    return Inspection(Path(artifact))


def explain(
    artifact: str | Path, *, input_shapes: Mapping[str, tuple[int, ...]] | None = None, threads: int | None = None
) -> Explanation | SessionExplanation:
    """What limits a built library (its folder), or an ONNX file in ONNX Runtime, with findings and cures.

    `input_shapes`, batch size included, and `threads` (None: all cores) are for ONNX files: a library has its own. Both
    are run, which takes seconds; a library for another CPU is only read. Times are in ms. Raises `UserError` for what
    is no library, and for a file that does not run.
    """
    path = Path(artifact)
    if path.suffix == ".onnx":
        return explanation.explain_onnx(path, Sizes(shapes=dict(input_shapes or {})), threads or cpu.cores())
    return explanation.explain(path)


def compare(old: str | Path, new: str | Path) -> Comparison:
    """Where the milliseconds went between two libraries of one model, layer by layer: their folders are given.

    Both run in one process, in turns. Raises `UserError` for libraries of another CPU, or of different thread counts.
    """
    return explanation.compare(Path(old), Path(new))
