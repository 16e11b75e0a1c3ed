"""Winograd with large weights and few registers (AVX2): the products of a chunk of input channels at a time.

A task has some filters. It transforms their weights for a chunk of channels, at all positions of a tile at once, and
adds their products with all tiles to the sums, of which it computes the outputs in the end. Transformed weights and
sums stay in the caches of a core.
"""

from __future__ import annotations

from tvm import te
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple

from . import int16_dot, winograd_weights
from .int8_dot import Kind
from .winograd_tiles import TASKS_PER_CORE, RegisterTile, cores

NAME = "products_in_chunks"
SUMS_BYTES = 150_000  # in an L2 cache of 256 KB or more
CHANNELS = 2  # in a chunk, for each tile: weights take twice the bytes of sums
MOST_CHANNELS = 64


def fit(register_tile: RegisterTile, blocks: int, tiles: int, places: int) -> bool:
    """Whether the sums of all `tiles` fit the cache, and there are tasks enough for all `blocks` of filters.

    The `places` are those in a tile of a block.
    """
    tasks = blocks // register_tile.blocks
    sums = 4 * register_tile.blocks * tiles * places
    return get_simd_32bit_lanes() == 8 and tasks >= TASKS_PER_CORE * cores() and sums <= SUMS_BYTES


def schedule(s: te.Schedule, products: te.Tensor, kind: Kind | None, register_tile: RegisterTile) -> None:
    """The schedule of the products in a task."""
    g, e, n, o, t, k = s[products].op.axis
    b, c, *pair = s[products].op.reduce_axis
    *_, tiles, block = get_const_tuple(products.shape)
    chunk, b = s[products].split(b, _blocks(b.dom.extent.value, block, tiles))
    t, row = s[products].split(t, register_tile.rows(tiles))
    vector, k = s[products].split(k, kind.lanes if kind else block)
    s[products].reorder(g, chunk, e, n, t, b, c, row, o, vector, k, *pair)
    for loop in (row, o, vector):
        s[products].unroll(loop)
    if kind:
        s[products].set_scope("local")  # as the instruction has it
        s[products].tensorize(k, int16_dot.te_intrinsic(kind))
    else:
        s[products].vectorize(k)
    winograd_weights.schedule_tiles(s, products.op.input_tensors[1], s[products], chunk)


def _blocks(inputs: int, block: int, tiles: int) -> int:
    """The blocks of input channels in a chunk; they divide those of all `inputs`."""
    most = max(1, min(MOST_CHANNELS, CHANNELS * tiles) // block)
    return max(blocks for blocks in range(1, most + 1) if inputs % blocks == 0)
