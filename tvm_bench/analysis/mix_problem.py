"""The fastest mix of INT8, BF16 and FP32 whose rounding errors stay below a limit.

Quantization errors are small and independent, so their powers at the output add up. Which layers stay FP32 is then a
mixed-integer linear program, which SciPy's HiGHS solves. Casts between FP32 and BF16 cost no time: the kernel that
computes a value stores it in either. The idea is that of HAWQ-V3, Yao et al. 2021,
arXiv:2011.10680, with measured errors and times.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress

import numpy as np

from ..spec.mixed_precision import BF16, Node, Quantized, in_bf16, names_of
from .explanation.layer_changes import Profile, by_layer, key
from .explanation.roofline import Machine

CAST_BYTES = 5  # for each value: 4 of FP32 and 1 of INT8
CLEARLY = 0.95  # of two times that were measured one after the other
LEAST_MS = 1e-6  # prefers INT8 where it makes no difference


@dataclass(frozen=True)
class Times:
    """Milliseconds of a node in each precision; `measured` is False for a node without a kernel of its own."""

    fp32: float
    int8: float
    measured: bool
    bf16: float | None = None


@dataclass(frozen=True)
class Problem:
    """The nodes with their times, the quantizers with what they cost, and the milliseconds of all INT8.

    `casts` are the milliseconds to convert the tensors of each quantizer from one precision to the other. `bf16` has
    the nodes that may be BF16, with the noise at the output if nothing else rounds.
    """

    nodes: Mapping[str, Times]
    quantizers: Sequence[Quantized]
    casts: Sequence[float]
    int8_ms: float
    bf16: Mapping[str, float] = field(default_factory=dict)

    def noise(self, excluded: frozenset[str]) -> float:
        """The expected noise at the output of the mix with the nodes `excluded` in FP32 or BF16."""
        names = frozenset(names_of(excluded))
        quantized = sum(q.cost.noise for q in self.quantizers if self._rounds(q, names))
        return quantized + sum(self.bf16[name] for name in in_bf16(excluded))

    def ms(self, excluded: frozenset[str]) -> float:
        """The expected milliseconds of the mix with the nodes `excluded` in FP32 or BF16."""
        names = frozenset(names_of(excluded))
        layers = sum(self.nodes[name].fp32 - self.nodes[name].int8 for name in names)
        casts = sum(
            ms
            for q, ms in zip(self.quantizers, self.casts, strict=True)
            if self._rounds(q, names) and names.intersection(q.nodes)
        )
        return self.int8_ms + layers + casts + sum(self._bf16_ms(name) for name in in_bf16(excluded))

    def fastest(self, limit: float) -> frozenset[str]:
        """The nodes that are not INT8 in the fastest mix with at most this noise; all, if nothing else keeps to it."""
        from scipy.optimize import Bounds, milp

        choices = len(self.nodes) + len(self.bf16)
        with _prints_nothing():
            result = milp(
                self._prices,
                constraints=[*self._links, *self._one_precision, self._noise_below(limit)],
                integrality=np.concatenate([np.ones(choices), np.zeros(2 * len(self.quantizers))]),
                bounds=Bounds(0, 1),
                options={"time_limit": 60.0, "mip_rel_gap": 1e-3},
            )
        if result.x is None:
            return frozenset(self.nodes)
        chosen = result.x > 0.5
        int8 = set(compress(self.nodes, chosen))
        bf16 = set(compress(self.bf16, chosen[len(self.nodes) :]))
        return frozenset(f"{BF16}{name}" if name in bf16 else name for name in self.nodes if name not in int8)

    def _rounds(self, quantizer: Quantized, names: frozenset[str]) -> bool:
        """Whether any of its nodes is INT8, as all but `names` are. One without nodes cannot be left out."""
        return not quantizer.nodes or not names.issuperset(quantizer.nodes)

    def _bf16_ms(self, name: str) -> float:
        """The milliseconds that a node takes longer in BF16 than in FP32."""
        times = self.nodes[name]
        assert times.bf16 is not None, f"{name} has no time in BF16"
        return times.bf16 - times.fp32

    # The variables: for each node whether it is INT8, for each of `bf16` whether it is BF16, for each quantizer whether
    # it rounds, and whether its tensor is also needed in floats.

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.nodes)}

    @cached_property
    def _prices(self) -> np.ndarray:
        times = [time.int8 - time.fp32 - LEAST_MS for time in self.nodes.values()]
        return np.array([*times, *map(self._bf16_ms, self.bf16), *np.zeros(len(self.quantizers)), *self.casts])

    @cached_property
    def _links(self) -> list:
        """A quantizer rounds if a node of its is INT8; its tensor is cast if it rounds and a node is not."""
        from scipy.optimize import LinearConstraint
        from scipy.sparse import lil_array

        pairs = [(number, self._place[name]) for number, q in enumerate(self.quantizers) for name in q.nodes]
        first, count = len(self.nodes) + len(self.bf16), len(self.quantizers)
        rounds, casts = (lil_array((len(pairs), first + 2 * count)) for _ in range(2))
        for row, (number, node) in enumerate(pairs):
            rounds[row, first + number], rounds[row, node] = 1, -1
            casts[row, first + count + number], casts[row, first + number], casts[row, node] = 1, -1, 1
        return [LinearConstraint(matrix.tocsr(), lb=0) for matrix in (rounds, casts)] if pairs else []

    @cached_property
    def _one_precision(self) -> list:
        from scipy.optimize import LinearConstraint
        from scipy.sparse import lil_array

        matrix = lil_array((len(self.bf16), len(self._prices)))
        for row, name in enumerate(self.bf16):
            matrix[row, self._place[name]] = matrix[row, len(self.nodes) + row] = 1
        return [LinearConstraint(matrix.tocsr(), ub=1)] if self.bf16 else []

    def _noise_below(self, limit: float) -> object:
        from scipy.optimize import LinearConstraint

        fixed = sum(q.cost.noise for q in self.quantizers if not q.nodes)
        noises = [q.cost.noise / limit if q.nodes else 0.0 for q in self.quantizers]
        bf16 = [noise / limit for noise in self.bf16.values()]
        row = np.concatenate([np.zeros(len(self.nodes)), bf16, noises, np.zeros(len(noises))])
        return LinearConstraint(row[None, :], ub=1 - fixed / limit)


@contextmanager
def _prints_nothing() -> Iterator[None]:
    """HiGHS prints a line on its work now and then, whatever its options say."""
    flush, kept = ctypes.CDLL(None).fflush, os.dup(1)
    flush(None)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            yield
            flush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def problem(
    nodes: Sequence[Node], quantizers: Sequence[Quantized], profiles: Mapping[str, Profile], machine: Machine
) -> Problem:
    """The problem for a model whose libraries in FP32, INT8 and perhaps BF16 were run. No node may be BF16 yet."""
    same = Counter(key(node.layer) for node in nodes if node.layer)
    sides = {precision: by_layer(profile) for precision, profile in profiles.items()}

    def times(node: Node) -> Times:
        name = key(node.layer) if node.layer else None
        if name is None or not all(name in side for side in sides.values()):
            return Times(0.0, 0.0, measured=False)
        return Times(**{precision: side[name][1].ms / same[name] for precision, side in sides.items()}, measured=True)

    return Problem(
        {node.name: times(node) for node in nodes},
        quantizers,
        [0.0 if q.weights else _cast_ms(q.values, machine) for q in quantizers],
        profiles["int8"].model_ms,
    )


def faster_in_bf16(problem: Problem, nodes: Sequence[Node]) -> list[str]:
    """The convolutions that BF16 makes clearly faster than FP32."""
    convolutions = [node.name for node in nodes if node.operator == "Conv"]
    times = {name: problem.nodes[name] for name in convolutions}
    return [name for name, time in times.items() if time.bf16 is not None and time.bf16 < CLEARLY * time.fp32]


def _cast_ms(values: int, machine: Machine) -> float:
    size = CAST_BYTES * values
    bandwidth = machine.bandwidth(size)
    return 1e3 * size / bandwidth if bandwidth else 0.0


def targets(problem: Problem, steps: int) -> list[float]:
    """Limits of noise between that of all INT8 and that of the quietest quantizer, evenly in dB."""
    loudest, quietest = problem.noise(frozenset()), min(q.cost.noise for q in problem.quantizers if q.cost.noise > 0)
    return list(np.geomspace(loudest, max(quietest, loudest * 1e-4), steps + 1)[1:]) if loudest else []
