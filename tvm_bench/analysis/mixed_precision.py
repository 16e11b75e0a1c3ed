"""The results of the command `sensitivity`: the mixes of precisions that were tried, and the chosen one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..spec.cures import Cured
from ..spec.mixed_precision import Node, Outcome
from .mix_problem import Problem

ROUNDING = 1e-6  # of scores, in points


@dataclass(frozen=True)
class Mix:
    """A mix that was tried: its expected noise and milliseconds, and what it did on calibration samples."""

    noise: float
    ms: float
    outcome: Outcome


@dataclass(frozen=True)
class Limit:
    """What a mix may lose: `sqnr` dB must remain, or the score may drop by `drop` points. One of them is set."""

    sqnr: float | None = None
    drop: float | None = None

    @property
    def measure(self) -> str:
        """What is limited: `sqnr` or `drop`."""
        return "drop" if self.sqnr is None else "sqnr"

    @property
    def text(self) -> str:
        """`35dB` or `0.3points`."""
        return f"{self.drop:g}points" if self.sqnr is None else f"{self.sqnr:g}dB"

    def allows(self, outcome: Outcome, fp32_score: float | None) -> bool:
        """Whether an outcome keeps to the limit."""
        if self.sqnr is not None:
            return outcome.cost.sqnr >= self.sqnr
        assert self.drop is not None, "one of the limits is set"
        assert outcome.score is not None, "a limit on the score needs labels"
        assert fp32_score is not None, "a limit on the score needs labels"
        return 100 * (fp32_score - outcome.score) <= self.drop + ROUNDING


@dataclass(frozen=True)
class Choice:
    """The fastest mix that keeps to the limit, built and run beside the libraries in one precision.

    `verified` is the outcome of all INT8 and that of the mix on `images` samples that no choice was made on (the same
    if not `unseen`), `score` that of FP32 there. `ms` are the measured milliseconds of FP32, INT8 and the mix.
    `recipe_text` makes the mix, with the list in the file `recipe`; `source` is its ONNX file, `library` the folder of
    the library.
    """

    mix: Mix
    verified: tuple[Outcome, Outcome]
    score: float | None
    images: int
    unseen: bool
    ms: tuple[float, float, float]
    recipe: Path
    recipe_text: str
    source: Path
    library: Path


@dataclass(frozen=True)
class Sensitivity:
    """All that `sensitivity` found. `mixes` are those that were tried, by expected milliseconds.

    `images` were used to measure the costs, `tried_images` to try mixes; `score` is that of FP32 on the latter.
    `choice` is None if no mix keeps to the `limit`. `cures` are other ways to quantize all layers, if asked for, run on
    the same samples as the mixes.
    """

    model: str
    nodes: tuple[Node, ...]
    problem: Problem
    mixes: tuple[Mix, ...]
    limit: Limit
    score: float | None
    images: int
    tried_images: int
    choice: Choice | None
    cures: tuple[Cured, ...] = ()
