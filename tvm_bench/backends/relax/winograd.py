"""Winograd's algorithm F(4x4, 3x3) for blocked data: 36 products give 16 outputs, which take 144 in the direct one.

The transformed weights are four times as large. Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", CVPR, arXiv:1509.09308.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import tvm
from tvm import te, tirx

from .convolution import Window, padded

BLOCK = "winograd_convolution"  # the block of the result; before it come those of the steps
TILE, PRODUCT, STEPS = "tile", "product", ("tile", "input_half", "transformed", "product", "inverse_half", "inverse")
SIZE, SPAN = 4, 6  # of a tile of outputs, and of the data that it needs
G = np.array(
    [[1 / 4, 0, 0], [-1 / 6] * 3, [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)
# Where it is likely to be faster than the direct convolution, as for Relay.
MAX_WEIGHTS_MB = 10.0
LEAST_OUTPUTS = 80  # of a channel
ROWS = {16: 24, 8: 12}  # of a register tile at most, by the values in a vector
LEAST_ROWS = 6  # so that sums do not wait for each other
TASKS_PER_CORE = 3  # with fewer lines of tiles, one core would wait for another
L2_BYTES, WEIGHTS_BYTES = 800_000, 5_000_000  # what goes from step to step in a line of tiles, and what each line reads


def pays(data: Sequence[int], weight: Sequence[int], window: Window, block: int) -> bool:
    """Whether it is likely to be faster: `data` and `weight` are the shapes of the convolution, in channels."""
    outputs, inputs, *kernel = weight
    if kernel != [3, 3] or {*window.strides, *window.dilation} != {1} or outputs % block or inputs % block:
        return False
    sizes = window.sizes(data[2], data[3], kernel)
    tiles = data[0] * prod(-(-size // SIZE) for size in sizes)
    mb = 4e-6 * SPAN * SPAN * outputs * inputs
    return prod(sizes) >= LEAST_OUTPUTS and mb <= MAX_WEIGHTS_MB and rows(tiles, block) >= LEAST_ROWS


def rows(tiles: int, block: int) -> int:
    """The rows of a register tile: they divide the number of `tiles`."""
    return max(count for count in range(1, ROWS.get(block, LEAST_ROWS) + 1) if tiles % count == 0)


def weights(array: np.ndarray, block: int) -> np.ndarray:
    """Weights (outputs, inputs, 3, 3) as (6, 6, outputs, inputs, block of outputs), transformed."""
    values = np.einsum("ea,oiab,nb->enoi", G, array.astype(np.float64), G)
    outputs, inputs = array.shape[:2]
    return values.reshape(SPAN, SPAN, outputs // block, block, inputs).transpose(0, 1, 2, 4, 3).astype(np.float32)


def convolve(data: te.Tensor, weight: te.Tensor, window: Window) -> te.Tensor:
    """`convolution.convolve` with the `weights` of this module."""
    batch, in_blocks, height, width, block = map(int, data.shape)
    out_blocks = int(weight.shape[2])
    out_height, out_width = window.sizes(height, width, (3, 3))
    lines, columns = -(-out_height // SIZE), -(-out_width // SIZE)  # of tiles
    group = 1 if _together(batch * lines, columns, in_blocks * block, out_blocks * block, block) else batch * lines
    tiles, groups = group * columns, batch * lines // group
    top, left, *_ = window.padding
    after = (lines * SIZE + 2 - height - top, columns * SIZE + 2 - width - left)
    whole = padded(data, Window(window.strides, window.dilation, (top, left, *after)))

    def tile_of(g: tirx.Var, b: tirx.Var, t: tirx.Var, y: tirx.Var, x: tirx.Var, c: tirx.Var) -> tirx.Expr:
        line = g * group + t // columns
        return whole(line // lines, b, line % lines * SIZE + y, t % columns * SIZE + x, c)

    tile = te.compute((groups, in_blocks, tiles, SPAN, SPAN, block), tile_of, name=TILE)
    half = te.compute(
        tile.shape,
        lambda g, b, t, e, x, c: _chosen(e, _inputs([tile(g, b, t, y, x, c) for y in range(SPAN)])),
        name="input_half",
    )
    transformed = te.compute(
        (groups, SPAN, SPAN, in_blocks, tiles, block),
        lambda g, e, n, b, t, c: _chosen(n, _inputs([half(g, b, t, e, x, c) for x in range(SPAN)])),
        name="transformed",
    )
    b, c = te.reduce_axis((0, in_blocks), "b"), te.reduce_axis((0, block), "c")
    product = te.compute(
        (groups, SPAN, SPAN, out_blocks, tiles, block),
        lambda g, e, n, o, t, k: te.sum(transformed(g, e, n, b, t, c) * weight(e, n, o, b * block + c, k), axis=[b, c]),
        name=PRODUCT,
    )

    def read(o: tirx.Var, line: tirx.Var, w: tirx.Var, e: tirx.Var, k: tirx.Var) -> list[tirx.Expr]:
        place = (o, line % group * columns + w, k)
        return [product(line // group, e, n, *place) for n in range(SPAN)]

    inverse_half = te.compute(
        (out_blocks, batch * lines, columns, SPAN, SIZE, block),
        lambda o, line, w, e, j, k: _chosen(j, _outputs(read(o, line, w, e, k))),
        name="inverse_half",
    )
    inverse = te.compute(
        (out_blocks, batch * lines, columns, SIZE, SIZE, block),
        lambda o, line, w, i, j, k: _chosen(i, _outputs([inverse_half(o, line, w, e, j, k) for e in range(SPAN)])),
        name="inverse",
    )
    return te.compute(
        (batch, out_blocks, out_height, out_width, block),
        lambda s, o, h, w, k: inverse(o, s * lines + h // SIZE, w // SIZE, h % SIZE, w % SIZE, k),
        name=BLOCK,
    )


def _together(lines: int, columns: int, inputs: int, outputs: int, block: int) -> bool:
    """Whether each line of tiles goes through all steps alone: what goes from step to step stays in the L2 cache."""
    between = 4 * SPAN * SPAN * columns * (inputs + outputs)
    fits = between <= L2_BYTES and 4 * SPAN * SPAN * inputs * outputs <= WEIGHTS_BYTES
    cores = int(tvm.target.Target.current().attrs.get("num-cores", 1))
    return fits and lines >= TASKS_PER_CORE * cores and rows(columns, block) >= LEAST_ROWS


def _inputs(d: Sequence[tirx.Expr]) -> list[tirx.Expr]:
    """The transform of six values of data."""
    two, four, five = (tirx.const(value, "float32") for value in (2, 4, 5))
    even, odd = d[4] - four * d[2], d[3] - four * d[1]
    far, near = d[4] - d[2], two * (d[3] - d[1])
    ends = (four * d[0] - five * d[2] + d[4], four * d[1] - five * d[3] + d[5])
    return [ends[0], even + odd, even - odd, far + near, far - near, ends[1]]


def _outputs(m: Sequence[tirx.Expr]) -> list[tirx.Expr]:
    """The inverse transform: four outputs of six sums."""
    two, four, eight = (tirx.const(value, "float32") for value in (2, 4, 8))
    plus, minus = m[1] + m[2], m[1] - m[2]
    far_plus, far_minus = m[3] + m[4], m[3] - m[4]
    return [m[0] + plus + far_plus, minus + two * far_minus, plus + four * far_plus, minus + eight * far_minus + m[5]]


def _chosen(index: tirx.Var, values: Sequence[tirx.Expr]) -> tirx.Expr:
    """The value at an index, which is a number once its loop is unrolled."""
    *others, last = values
    for place, value in reversed(list(enumerate(others))):
        last = tirx.Select(index == place, value, last)
    return last
