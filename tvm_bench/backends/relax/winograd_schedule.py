"""The schedule of Winograd's algorithm: its steps in parallel, or all of them together for each line of tiles."""

from __future__ import annotations

from tvm import s_tir
from tvm.s_tir.schedule import LoopRV, SBlockRV

from . import winograd
from .loops import in_registers

INVERSES = ("inverse", "inverse_half")
WHOLE_TILES = ("input_half", winograd.TILE)


def apply(kernel: s_tir.Schedule, output: SBlockRV, after: list[SBlockRV]) -> None:
    """Schedule a kernel with the block `output`, and the blocks `after` it."""
    transformed, product = kernel.get_sblock("transformed"), kernel.get_sblock(winograd.PRODUCT)
    together = int(kernel.get(kernel.get_loops(product)[0]).extent) > 1
    for block in _before(kernel, kernel.get_sblock(winograd.TILE)):
        kernel.compute_inline(block)
    *between, last = (output, *after)
    for block in between:
        kernel.compute_inline(block)
    task = _outputs(kernel, last, together)
    if together:
        kernel.compute_at(product, task, preserve_unit_loops=True)
        kernel.compute_at(transformed, task, preserve_unit_loops=True)
    _transform(kernel, transformed, together)
    _product(kernel, product, together)


def _before(kernel: s_tir.Schedule, block: SBlockRV) -> list[SBlockRV]:
    """The blocks whose values reach `block`, each after those that it reads."""
    found: list[SBlockRV] = []
    for producer in kernel.get_producers(block):
        found += [*_before(kernel, producer), producer]
    return found


def _outputs(kernel: s_tir.Schedule, last: SBlockRV, together: bool) -> LoopRV:
    """Back to outputs, with the operators that are fused behind the convolution. Returns the loop of the tasks."""
    image, outputs, height, width, block = kernel.get_loops(last)
    line, i = kernel.split(height, [None, winograd.SIZE])
    column, j = kernel.split(width, [None, winograd.SIZE])
    tasks, rest = ((image, line), (outputs,)) if together else ((image, outputs, line), ())
    kernel.reorder(*tasks, *rest, column, i, j, block)
    task = kernel.fuse(*tasks)
    kernel.parallel(task)
    for name in INVERSES:
        _whole_tile(kernel, name, column)
    in_registers(kernel, i, j, block)
    return task


def _transform(kernel: s_tir.Schedule, transformed: SBlockRV, together: bool) -> None:
    group, e, n, blocks, tiles, lanes = kernel.get_loops(transformed)[-6:]
    kernel.reorder(group, blocks, tiles, e, n, lanes)
    if not together:
        tiles = kernel.fuse(group, blocks, tiles)
        kernel.parallel(tiles)
    for name in WHOLE_TILES:
        _whole_tile(kernel, name, tiles)
    in_registers(kernel, e, n, lanes)


def _product(kernel: s_tir.Schedule, product: SBlockRV, together: bool) -> None:
    """A matrix product for each position in a tile: some rows of its result stay in registers."""
    copy = kernel.cache_write(product, 0, "local")
    group, e, n, outputs, tiles, block = kernel.get_loops(copy)[-6:]
    rows = winograd.rows(int(kernel.get(tiles).extent), int(kernel.get(block).extent))
    outer, inner = kernel.split(tiles, [None, rows])
    if not together:
        kernel.parallel(kernel.fuse(group, e, n, outputs))
    kernel.compute_at(product, outer, preserve_unit_loops=True)
    in_registers(kernel, inner, block)
    *_, row, vector, blocks, lanes = kernel.get_loops(product)
    kernel.reorder(blocks, lanes, row, vector)
    in_registers(kernel, row, vector)
    first = kernel.decompose_reduction(product, blocks)
    *_, row, vector = kernel.get_loops(first)
    in_registers(kernel, row, vector)


def _whole_tile(kernel: s_tir.Schedule, name: str, loop: LoopRV) -> None:
    """Compute the tiles of a step at the loop that reads them, in registers."""
    block = kernel.get_sblock(name)
    kernel.compute_at(block, loop, preserve_unit_loops=True)
    kernel.set_scope(block, 0, "local")
    *_, rows, columns, lanes = kernel.get_loops(block)
    in_registers(kernel, rows, columns, lanes)
