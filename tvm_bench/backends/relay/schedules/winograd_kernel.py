"""The kernel of Winograd's algorithm: three steps, each in parallel, or all of them together for each row of tiles.

Together, what goes from step to step stays in the L2 cache of a core.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tvm import te, tir, topi
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple, traverse_inline

from . import int8_dot, int16_dot, winograd_chunks, winograd_int8, winograd_matrices, winograd_weights
from .int16_dot import PAIR
from .winograd_tiles import LEAST_ROWS, SUMS, TASKS_PER_CORE, RegisterTile, Tiles, cores

TAG = "conv2d_winograd_NCHWc"
L2_BYTES = 800_000  # of 1 MB, for what goes from step to step
WEIGHTS_BYTES = 5_000_000  # each line of tiles reads all weights, from the L3 cache


def compute(attrs: Any, inputs: list[te.Tensor], out_type: Any) -> list[te.Tensor]:
    """Data (N, CI/16, H, W, 16) -> (N, CO/16, OH, OW, 16).

    The weights are transformed to (6, 6, CO/16, CI, 16), or (4, 4, ...), in FP32, and to (6, 6, CO/16, CI/2, 16, 2) in
    INT8. They may be (CO/16, CI, 3, 3, 16) in FP32 too, and (CO/16, CI/2, 3, 3, 16, 2) in INT8, in chunks.
    """
    data, weight = inputs
    int8 = data.dtype == "uint8"
    size = int(attrs.tile_size)
    span = size + 2
    raw = not winograd_weights.are_transformed(weight)
    out_blocks = get_const_tuple(weight.shape)[0 if raw else 2]
    top, left, bottom, right = get_const_tuple(attrs.padding)
    images, in_blocks, in_height, in_width, block = get_const_tuple(data.shape)
    height, width = in_height + top + bottom - 2, in_width + left + right - 2
    rows, columns = -(-height // size), -(-width // size)  # of tiles
    element = 2 if int8 else 4
    lines, places = images * rows, span * span * block
    between = places * columns * (in_blocks * element + out_blocks * 4)
    together = not raw and _together(lines, columns, between, places * block * in_blocks * out_blocks * element)
    tiles = Tiles(lines, columns, 1 if together else lines)
    groups = tiles.lines // tiles.grouped
    register_tile = RegisterTile.of(block, out_blocks, int8_dot.best(winograd_int8.BLOCK) if int8 else None)
    rows_of_sums = register_tile.rows(tiles.in_group)
    in_product = -(-tiles.in_group // rows_of_sums) * rows_of_sums
    chunks = raw and winograd_chunks.fit(register_tile, out_blocks, tiles.in_group, places)
    matrices, dtype = winograd_matrices.OF[size], "int16" if int8 else data.dtype
    after = (rows * size + 2 - in_height - top, columns * size + 2 - in_width - left)
    padded = topi.nn.pad(data, (0, 0, top, left, 0), (0, 0, *after, 0))

    def tile_of(b: tir.Var, g: tir.Var, t: tir.Var, y: tir.Var, x: tir.Var, c: tir.Var) -> tir.PrimExpr:
        if in_product > tiles.in_group:
            t = tir.min(t, tiles.in_group - 1)  # beyond the tiles, the last one again: nothing reads its products
        line = g * tiles.grouped + t // columns
        return padded[line // rows, b, line % rows * size + y, t % columns * size + x, c].astype(dtype)

    tile = te.compute((in_blocks, groups, in_product, span, span, block), tile_of)
    of_tiles = winograd_matrices.tile_times(tile, matrices.data, matrices.pairs)

    def input_of(g: tir.Var, x: tir.Var, y: tir.Var, z: tir.Var, t: tir.Var, c: tir.Var) -> tir.PrimExpr:
        b, e, n = (x, y, z) if chunks else (z, x, y)
        return of_tiles[b, g, t, e, n, c]

    places_of_data = (in_blocks, span, span) if chunks else (span, span, in_blocks)
    transformed = te.compute((groups, *places_of_data, in_product, block), input_of, name="input_transform")
    if raw:
        weight = winograd_weights.of_tile(weight, size, dtype) if chunks else winograd_weights.transformed(weight, size)
    product = _product(transformed, weight, "int32" if int8 else data.dtype, chunks=chunks)
    of_product = te.compute(
        (out_blocks, tiles.lines, columns, span, span, block),
        lambda o, line, w, e, n, k: product[line // tiles.grouped, e, n, o, line % tiles.grouped * columns + w, k],
        name="products_of_tile",
    )
    sums = winograd_int8.SUMS if int8 else matrices.sums
    inverse = winograd_matrices.tile_times(of_product, matrices.pairs, sums)

    def output_of(s: tir.Var, o: tir.Var, h: tir.Var, w: tir.Var, k: tir.Var) -> tir.PrimExpr:
        value = inverse[o, s * rows + h // size, w // size, h % size, w % size, k]
        return winograd_int8.unscaled(value) if int8 else value

    return [te.compute((images, out_blocks, height, width, block), output_of, name="winograd", tag=TAG)]


def _together(lines: int, columns: int, between: int, weights: int) -> bool:
    """Whether each line of tiles goes through all steps alone, with these bytes from step to step, and of weights."""
    divides = lines >= TASKS_PER_CORE * cores() and RegisterTile(SUMS, 1, 1).rows(columns) >= LEAST_ROWS
    return divides and between <= L2_BYTES and weights <= WEIGHTS_BYTES


def _product(transformed: te.Tensor, weight: te.Tensor, dtype: str, *, chunks: bool) -> te.Tensor:
    """The matrix product of each position in a tile: (groups, e, n, CO/16, tiles, 16).

    In `chunks`, data and weights have their channels before their positions.
    """
    groups, *places, tiles, block = get_const_tuple(transformed.shape)
    in_blocks, *span = places if chunks else (places[2], *places[:2])
    shape = (groups, *span, get_const_tuple(weight.shape)[0 if chunks else 2], tiles, block)

    def data_at(g: tir.Var, e: tir.Var, n: tir.Var, b: tir.Var, *rest: tir.PrimExpr) -> tir.PrimExpr:
        return transformed[(g, b, e, n, *rest) if chunks else (g, e, n, b, *rest)]

    def weight_at(e: tir.Var, n: tir.Var, o: tir.Var, c: tir.PrimExpr, *rest: tir.Var) -> tir.PrimExpr:
        return weight[(o, c, e, n, *rest) if chunks else (e, n, o, c, *rest)]

    b, name = te.reduce_axis((0, in_blocks), "b"), winograd_chunks.NAME if chunks else "product"
    if transformed.dtype == dtype:
        c = te.reduce_axis((0, block), "c")
        return te.compute(
            shape,
            lambda g, e, n, o, t, k: te.sum(
                data_at(g, e, n, b, t, c) * weight_at(e, n, o, b * block + c, k), axis=[b, c]
            ),
            name=name,
        )
    c, i = te.reduce_axis((0, block // PAIR), "c"), te.reduce_axis((0, PAIR), "i")
    return te.compute(
        shape,
        lambda g, e, n, o, t, k: te.sum(
            data_at(g, e, n, b, t, c * PAIR + i).astype(dtype)
            * weight_at(e, n, o, b * (block // PAIR) + c, k, i).astype(dtype),
            axis=[b, c, i],
        ),
        name=name,
    )


def schedule(outs: list[te.Tensor]) -> te.Schedule:
    """The schedule of a fused function with such a convolution."""
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule(schedule, op, outs[0].op)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule(s: te.Schedule, output: te.Operation, last: te.Operation) -> None:
    inverses, of_product = winograd_matrices.steps(s, output.input_tensors[0])
    product = of_product.op.input_tensors[0]
    transformed = product.op.input_tensors[0]
    before, tile = winograd_matrices.steps(s, transformed.op.input_tensors[0])
    for inlined in (of_product, tile.op.input_tensors[0]):
        s[inlined].compute_inline()
    together, chunks = get_const_tuple(product.shape)[0] > 1, product.op.name == winograd_chunks.NAME
    if not output.same_as(last):
        s[output].compute_inline()
    size = get_const_tuple(inverses[0].op.output(0).shape)[3]
    *_, blocks, _, block = get_const_tuple(product.shape)
    kind = int8_dot.best(winograd_int8.BLOCK) if product.dtype == "int32" else None
    register_tile = RegisterTile.of(block, blocks, kind)
    of_task = register_tile.blocks if chunks else blocks if together else 1
    task = _schedule_outputs(s[last], inverses, size, rows=not chunks, blocks=of_task)
    if together:
        s[transformed].compute_at(s[last], task)
    if together or chunks:
        s[product].compute_at(s[last], task)
    _schedule_transform(s[transformed], (*before, s[tile]), chunks=chunks, together=together)
    if chunks:
        winograd_chunks.schedule(s, product, kind, register_tile)
    else:
        _schedule_product(s, product, kind, register_tile, together=together)


def _schedule_outputs(
    last: te.Stage, inverses: Iterable[te.Stage], size: int, *, rows: bool, blocks: int
) -> tir.IterVar:
    """Back to outputs, with the operators that are fused behind the convolution. Returns the axis of the tasks.

    A task has so many `blocks` of filters, of one row of tiles if `rows`, else of all.
    """
    image, o, h, w, k = last.op.axis
    row, h = last.split(h, size)
    column, w = last.split(w, size)
    o, block = last.split(o, blocks)
    tasks, rest = ((image, o, row), (block,)) if rows else ((o,), (block, image, row))
    last.reorder(*tasks, *rest, column, h, w, k)
    task = last.fuse(*tasks)
    last.parallel(task)
    winograd_matrices.unroll_and_vectorize(last, (h, w), k)
    _whole_tiles_at(inverses, last, column, h)
    return task


def _schedule_transform(transformed: te.Stage, before: Iterable[te.Stage], *, chunks: bool, together: bool) -> None:
    """Whole tiles are transformed at a time, for example of 6 x 6 vectors."""
    g, *places, t, c = transformed.op.axis
    b, e, n = places if chunks else (places[2], *places[:2])
    transformed.reorder(g, b, t, e, n, c)
    if not together:
        t = transformed.fuse(g, b, t)
        transformed.parallel(t)
    winograd_matrices.unroll_and_vectorize(transformed, (e, n), c)
    _whole_tiles_at(before, transformed, t, e)


def _schedule_product(
    s: te.Schedule, product: te.Tensor, kind: int8_dot.Kind | None, register_tile: RegisterTile, *, together: bool
) -> None:
    """A matrix product for each position in a tile: some rows of its result stay in registers.

    Of few tiles, the sums of a whole row of positions do: then weights are transformed in registers too.
    """
    accumulator = s.cache_write(product, "local")
    g, e, n, o, t, k = s[product].op.axis
    *_, span, _, tiles, _ = get_const_tuple(product.shape)
    data, weight = product.op.input_tensors
    whole_row = register_tile.holds(tiles, span)
    n, position = s[product].split(n, span if whole_row else 1)
    o, part = s[product].split(o, register_tile.blocks)
    t, row = s[product].split(t, register_tile.rows(tiles))
    s[product].reorder(g, e, n, o, t, position, part, row, k)
    if raw := bool(weight.op.input_tensors):
        few = 4 * math.prod(get_const_tuple(data.shape)) <= L2_BYTES
        places = (o, e) if few else (e, o)  # what is read again stays in the L2 cache: few data, or those of one row
        s[product].reorder(g, *places, n)
        task = s[product].fuse(g, *places)
        s[product].parallel(task)
    elif not together:
        s[product].parallel(s[product].fuse(g, e, n, o))
    winograd_matrices.unroll_and_vectorize(s[product], (position, part, row), k)
    s[accumulator].compute_at(s[product], t)
    *_, position, part, row, k = s[accumulator].op.axis
    reduced = s[accumulator].op.reduce_axis
    if kind:
        vector, k = s[accumulator].split(k, kind.lanes)
        *outer_sums, pair = reduced
        s[accumulator].reorder(*outer_sums, position, row, part, vector, k, pair)
        s[accumulator].unroll(vector)
        s[accumulator].tensorize(k, int16_dot.te_intrinsic(kind))
    else:
        s[accumulator].reorder(*reduced, position, row, part, k)
        s[accumulator].vectorize(k)
    for loop in (position, row, part):
        s[accumulator].unroll(loop)
    if raw:
        at = (s[accumulator], reduced[-1]) if whole_row else (s[product], task)
        winograd_weights.schedule(s, weight, *at)


def _whole_tiles_at(stages: Iterable[te.Stage], consumer: te.Stage, axis: tir.IterVar, row: tir.IterVar) -> None:
    """Where registers are few, the last two steps are computed for a row at a time."""
    by_row = 2 if get_simd_32bit_lanes() < 16 else 0
    for number, stage in enumerate(stages):
        stage.compute_at(consumer, row if number < by_row else axis)
        winograd_matrices.unroll_and_vectorize(stage, stage.op.axis[3:5], stage.op.axis[5])
