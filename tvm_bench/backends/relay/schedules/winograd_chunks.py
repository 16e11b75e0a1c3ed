"""Winograd in FP32 with large weights and few registers (AVX2): the products of a chunk of input channels at a time.

A task has some filters. It transforms their weights for a chunk of channels, at all positions of a tile at once, and
adds their products with all tiles to the sums, of which it computes the outputs in the end. Transformed weights and
sums stay in the caches of a core.
"""

from __future__ import annotations

import tvm
from tvm import te
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple

from . import winograd_weights
from .winograd_tiles import TASKS_PER_CORE, RegisterTile

NAME = "products_in_chunks"
SUMS_BYTES = 150_000  # in an L2 cache of 256 KB or more
TILES_PER_BLOCK = 4  # so many tiles for a block of channels in a chunk: weights take twice the bytes of sums
MOST_BLOCKS = 8  # of a chunk


def fit(register_tile: RegisterTile, blocks: int, tiles: int, places: int) -> bool:
    """Whether the sums of all `tiles` fit the cache, and there are tasks enough. A position of all is in `places`."""
    cores = max(1, int(tvm.target.Target.current().attrs.get("num-cores", 1)))
    tasks = blocks // register_tile.blocks
    sums = 4 * register_tile.blocks * tiles * places
    return get_simd_32bit_lanes() == 8 and tasks >= TASKS_PER_CORE * cores and sums <= SUMS_BYTES


def products(transformed: te.Tensor, weight: te.Tensor, size: int) -> te.Tensor:
    """Of data (1, CI/8, 6, 6, tiles, 8) and weights (CO/8, CI, 3, 3, 8): (1, 6, 6, CO/8, tiles, 8)."""
    groups, in_blocks, *span, tiles, block = get_const_tuple(transformed.shape)
    weight = winograd_weights.of_tile(weight, size)
    b, c = te.reduce_axis((0, in_blocks), "b"), te.reduce_axis((0, block), "c")
    return te.compute(
        (groups, *span, get_const_tuple(weight.shape)[0], tiles, block),
        lambda g, e, n, o, t, k: te.sum(transformed[g, b, e, n, t, c] * weight[o, b * block + c, e, n, k], axis=[b, c]),
        name=NAME,
    )


def schedule(s: te.Schedule, products: te.Tensor, register_tile: RegisterTile) -> None:
    """The schedule of the products in a task."""
    g, e, n, o, t, k = s[products].op.axis
    b, c = s[products].op.reduce_axis
    tiles = get_const_tuple(products.shape)[4]
    chunk, b = s[products].split(b, _blocks(b.dom.extent.value, tiles))
    t, row = s[products].split(t, register_tile.rows(tiles))
    s[products].reorder(g, chunk, e, n, t, b, c, row, o, k)
    for loop in (row, o):
        s[products].unroll(loop)
    s[products].vectorize(k)
    winograd_weights.schedule_tiles(s, products.op.input_tensors[1], s[products], chunk)


def _blocks(inputs: int, tiles: int) -> int:
    """The blocks of input channels in a chunk; they divide those of all `inputs`."""
    most = min(MOST_BLOCKS, max(1, tiles // TILES_PER_BLOCK))
    return max(blocks for blocks in range(1, most + 1) if inputs % blocks == 0)
