"""`inspect`: what the compiler did to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..host import manifest
from ..pipeline import compilation
from ..relay_view import dumps
from ..relay_view.dumps import Stage


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
