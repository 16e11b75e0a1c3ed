"""The fastest mix of INT8 and FP32 whose rounding errors stay below a limit.

Quantization errors are small and independent, so their powers at the output add up. Which layers stay FP32 is then a
mixed-integer linear program, which SciPy's HiGHS solves. The idea is that of HAWQ-V3, Yao et al. 2021,
arXiv:2011.10680, with measured errors and times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..spec.cures import Cured
from ..spec.mixed_precision import Node, Outcome, Quantized
from .explanation.layer_changes import Profile, by_layer, key
from .explanation.roofline import Machine

CAST_BYTES = 5  # for each value: 4 of FP32 and 1 of INT8
ROUNDING = 1e-6  # of scores, in points
LEAST_MS = 1e-6  # prefers INT8 where it makes no difference


@dataclass(frozen=True)
class Times:
    """Milliseconds of a node in both precisions; `measured` is False for a node without a kernel of its own."""

    fp32: float
    int8: float
    measured: bool


@dataclass(frozen=True)
class Problem:
    """The nodes with their times, the quantizers with what they cost, and the milliseconds of all INT8.

    `casts` are the milliseconds to convert the tensors of each quantizer from one precision to the other.
    """

    nodes: Mapping[str, Times]
    quantizers: Sequence[Quantized]
    casts: Sequence[float]
    int8_ms: float

    def noise(self, excluded: frozenset[str]) -> float:
        """The expected noise at the output if the nodes `excluded` stay FP32."""
        return sum(q.cost.noise for q in self.quantizers if self._rounds(q, excluded))

    def ms(self, excluded: frozenset[str]) -> float:
        """The expected milliseconds of the model if the nodes `excluded` stay FP32."""
        layers = sum(self.nodes[name].fp32 - self.nodes[name].int8 for name in excluded)
        casts = sum(
            ms
            for q, ms in zip(self.quantizers, self.casts, strict=True)
            if self._rounds(q, excluded) and excluded.intersection(q.nodes)
        )
        return self.int8_ms + layers + casts

    def fastest(self, limit: float) -> frozenset[str]:
        """The nodes that stay FP32 in the fastest mix with at most this noise; all, if nothing else keeps to it."""
        from scipy.optimize import Bounds, milp

        result = milp(
            self._prices,
            constraints=[*self._links, self._noise_below(limit)],
            integrality=np.concatenate([np.ones(len(self._names)), np.zeros(2 * len(self.quantizers))]),
            bounds=Bounds(0, 1),
            options={"time_limit": 60.0, "mip_rel_gap": 1e-3},
        )
        if result.x is None:
            return frozenset(self.nodes)
        return frozenset(name for name, integer in zip(self._names, result.x, strict=False) if integer < 0.5)

    def _rounds(self, quantizer: Quantized, excluded: frozenset[str]) -> bool:
        """Whether any of its nodes is INT8. One without nodes cannot be left out."""
        return not quantizer.nodes or not excluded.issuperset(quantizer.nodes)

    # The variables: for each node whether it is INT8, for each quantizer whether it rounds, and whether its tensor is
    # also needed in FP32.

    @cached_property
    def _names(self) -> list[str]:
        return list(self.nodes)

    @cached_property
    def _prices(self) -> np.ndarray:
        times = [time.int8 - time.fp32 - LEAST_MS for time in self.nodes.values()]
        return np.array([*times, *np.zeros(len(self.quantizers)), *self.casts])

    @cached_property
    def _links(self) -> list:
        """A quantizer rounds if a node of its is INT8; its tensor is cast if it rounds and a node is FP32."""
        from scipy.optimize import LinearConstraint
        from scipy.sparse import lil_array

        place = {name: i for i, name in enumerate(self._names)}
        pairs = [(number, place[name]) for number, q in enumerate(self.quantizers) for name in q.nodes]
        first, count = len(place), len(self.quantizers)
        rounds, casts = (lil_array((len(pairs), first + 2 * count)) for _ in range(2))
        for row, (number, node) in enumerate(pairs):
            rounds[row, first + number], rounds[row, node] = 1, -1
            casts[row, first + count + number], casts[row, first + number], casts[row, node] = 1, -1, 1
        return [LinearConstraint(matrix.tocsr(), lb=0) for matrix in (rounds, casts)] if pairs else []

    def _noise_below(self, limit: float) -> object:
        from scipy.optimize import LinearConstraint

        fixed = sum(q.cost.noise for q in self.quantizers if not q.nodes)
        noises = [q.cost.noise / limit if q.nodes else 0.0 for q in self.quantizers]
        row = np.concatenate([np.zeros(len(self._names)), noises, np.zeros(len(noises))])
        return LinearConstraint(row[None, :], ub=1 - fixed / limit)


def problem(
    nodes: Sequence[Node], quantizers: Sequence[Quantized], fp32: Profile, int8: Profile, machine: Machine
) -> Problem:
    """The problem for a model whose libraries in both precisions were run."""
    same = Counter(key(node.layer) for node in nodes if node.layer)
    sides = [by_layer(profile) for profile in (fp32, int8)]

    def times(node: Node) -> Times:
        name = key(node.layer) if node.layer else None
        if name is None or not all(name in side for side in sides):
            return Times(0.0, 0.0, measured=False)
        first, second = (side[name][1].ms / same[name] for side in sides)
        return Times(first, second, measured=True)

    return Problem(
        {node.name: times(node) for node in nodes},
        quantizers,
        [0.0 if q.weights else _cast_ms(q.values, machine) for q in quantizers],
        int8.model_ms,
    )


def _cast_ms(values: int, machine: Machine) -> float:
    size = CAST_BYTES * values
    bandwidth = machine.bandwidth(size)
    return 1e3 * size / bandwidth if bandwidth else 0.0


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


def targets(problem: Problem, steps: int) -> list[float]:
    """Limits of noise between that of all INT8 and that of the quietest quantizer, evenly in dB."""
    loudest, quietest = problem.noise(frozenset()), min(q.cost.noise for q in problem.quantizers if q.cost.noise > 0)
    return list(np.geomspace(loudest, max(quietest, loudest * 1e-4), steps + 1)[1:]) if loudest else []
