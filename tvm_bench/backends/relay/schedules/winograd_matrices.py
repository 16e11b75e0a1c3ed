"""The matrices of Winograd's algorithm, for the points 0, 1, -1, 2, -2 and infinity, or 0, 1, -1 and infinity.

The rows of two points p and -p have the same even part and opposite odd parts. So a matrix is applied in two steps: the
parts of each pair, then their sum and difference. That saves additions. Most fractions are in one factor, which the
weights contain.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", CVPR, arXiv:1509.09308.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from tvm import te, tir
from tvm.topi.utils import get_const_tuple

STEP = "winograd_step"
SPATIAL = (3, 4)  # axes of a tile, within six


@dataclass(frozen=True)
class Matrices:
    """Data is multiplied by `data` and `pairs`, weights by `weights` and `pairs`, products by `pairs` and `sums`.

    All are multiplied from the right, along each axis of a tile. The results are 1 / `factor` times the convolution.
    """

    data: np.ndarray
    weights: np.ndarray
    pairs: np.ndarray
    sums: np.ndarray
    factor: float

    @property
    def all_of_weights(self) -> np.ndarray:
        """That of the weights in one step, (3, 6) or (3, 4)."""
        return self.weights @ self.pairs


def _pairs(span: int) -> np.ndarray:
    matrix = np.eye(span)
    for first in range(1, span - 1, 2):
        matrix[first : first + 2, first : first + 2] = ((1, 1), (1, -1))
    return matrix


# By the size of a tile of outputs.
OF = {
    4: Matrices(
        data=np.transpose(
            [
                [4, 0, -5, 0, 1, 0],
                [0, 0, -4, 0, 1, 0],
                [0, -4, 0, 1, 0, 0],
                [0, 0, -1, 0, 1, 0],
                [0, -2, 0, 2, 0, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
        weights=np.transpose([[1, 0, 0], [-1, 0, -1], [0, -1, 0], [1, 0, 4], [0, 2, 0], [0, 0, 1]]),
        pairs=_pairs(6),
        sums=np.array([[1.5, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0.25, 0, 1, 0], [0, 0.5, 0, 2], [0, 0, 0, 6]]),
        factor=1 / 36,
    ),
    2: Matrices(
        data=np.transpose([[1, 0, -1, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, -1, 0, 1]]),
        weights=np.transpose([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]]),
        pairs=_pairs(4),
        sums=np.array([[2, 0], [1, 0], [0, 1], [0, 2]]),
        factor=1 / 4,
    ),
}


def times(values: te.Tensor, axis: int, matrix: np.ndarray) -> te.Tensor:
    """This axis of the values, multiplied by the matrix from the right.

    No reduction: that would begin with an addition to zero. The axis must be unrolled.
    """

    def result(*i: tir.Var) -> tir.PrimExpr:
        rows = [values[(*i[:axis], row, *i[axis + 1 :])] for row in range(len(matrix))]
        whole = tir.const(0, values.dtype)
        for number, column in enumerate(matrix.T):
            terms = [row * tir.const(c, values.dtype) for row, c in zip(rows, column.tolist(), strict=True) if c]
            whole = tir.Select(i[axis] == number, reduce(operator.add, terms), whole)
        return whole

    shape = list(get_const_tuple(values.shape))
    shape[axis] = matrix.shape[1]
    return te.compute(shape, result, name=STEP)


def tile_times(tile: te.Tensor, *matrices: np.ndarray) -> te.Tensor:
    """Both spatial axes of a tile, multiplied by these matrices one after the other."""
    for axis in SPATIAL:
        for matrix in matrices:
            tile = times(tile, axis, matrix)
    return tile


def steps(s: te.Schedule, tensor: te.Tensor) -> tuple[list[te.Stage], te.Tensor]:
    """The stages of `tile_times`, the last first, and the tile that they begin with."""
    stages = []
    while tensor.op.name == STEP:
        stages.append(s[tensor])
        (tensor,) = tensor.op.input_tensors
    return stages, tensor


def unroll_and_vectorize(stage: te.Stage, axes: Iterable[tir.IterVar], channels: tir.IterVar) -> None:
    for axis in (*axes, *getattr(stage.op, "reduce_axis", ())):
        stage.unroll(axis)
    stage.vectorize(channels)
