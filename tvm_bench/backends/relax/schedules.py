"""Schedules of the kernels: which loops run on all cores, in vectors and in registers.

TVM leaves the loops of a kernel as its expression has them, which takes a hundred times as long.
"""

from __future__ import annotations

from math import prod

import tvm
from tvm import s_tir, tirx
from tvm.s_tir.schedule import LoopRV, SBlockRV

from . import dot_product, winograd, winograd_schedule
from .convolution import BLOCK
from .loops import in_registers
from .target import features

REGISTERS = {16: 32, 8: 16, 4: 16}  # of vectors, by the float32 values in each
LANES = 16  # values that are copied at a time
DEPTHWISE_SUMS = 2  # axes that a depthwise convolution adds up
SUMS = (8, 5, 4, 3, 2)  # vectors that a sum over other axes has at a time, so that none waits for the one before
SPATIAL = 0  # TVM's number of an axis of the result; others add up


def lanes(target: tvm.target.Target) -> int:
    """Float32 values in a vector of `target`."""
    available = features(target)  # TVM's own function returns the width of AVX-512 for every CPU
    return 16 if "avx512f" in available else 8 if "avx2" in available else 4


def scheduled(function: tirx.PrimFunc, target: tvm.target.Target) -> tirx.PrimFunc:
    """A kernel with its schedule."""
    kernel = s_tir.Schedule(function)
    blocks = kernel.get_child_blocks(kernel.get_sblock("root"))
    names = [kernel.get(block).name_hint for block in blocks]
    place = next((place for place, name in enumerate(names) if name in (BLOCK, winograd.BLOCK)), None)
    if place is None:
        _whole(kernel, blocks, lanes(target))
    elif names[place] == winograd.BLOCK:
        winograd_schedule.apply(kernel, blocks[place], blocks[place + 1 :])
    else:
        _convolution(kernel, blocks[place], blocks[place + 1 :], REGISTERS[lanes(target)])
    return kernel.mod["main"]


def _convolution(kernel: s_tir.Schedule, convolution: SBlockRV, after: list[SBlockRV], registers: int) -> None:
    """All rows on all cores; of each row, a tile of columns and of blocks of channels is added up in registers."""
    padding = kernel.get_producers(convolution)
    added = sum(axis.iter_type != SPATIAL for axis in kernel.get(convolution).iter_vars)
    integers = kernel.get(convolution).writes[0].source.dtype == "int32"
    result = _result(kernel, convolution, after)
    batch, outputs, row, column, block = kernel.get_loops(result)
    chunks, columns = tile(int(kernel.get(outputs).extent), int(kernel.get(column).extent), registers)
    outer, inner = kernel.split(outputs, [None, chunks])
    left, right = kernel.split(column, [None, columns])
    kernel.reorder(batch, outer, row, left, inner, right, block)
    task = kernel.fuse(batch, outer, row)
    kernel.parallel(task)
    in_registers(kernel, inner, right, block)
    kernel.compute_at(convolution, left, preserve_unit_loops=True)
    *_, inner, _, right, block = kernel.get_loops(convolution)[:-added]
    sums = kernel.get_loops(convolution)[-added:]
    four = [sums.pop()] if integers else []
    kernel.reorder(*sums, right, inner, block, *four)  # so that a value of the data is read once for all blocks
    kernel.set_scope(convolution, 0, "local")
    if integers:
        kernel.unroll(inner)
        kernel.unroll(right)
    else:
        in_registers(kernel, inner, right, block)
    vector = block
    first = kernel.decompose_reduction(convolution, sums[0])
    *_, inner, _, right, block = kernel.get_loops(first)
    in_registers(kernel, inner, right, block)
    if integers:
        kernel.tensorize(vector, dot_product.instruction(int(kernel.get(vector).extent)))
    for padded in padding:
        _pad(kernel, padded, task if added == DEPTHWISE_SUMS else None)


def _pad(kernel: s_tir.Schedule, padded: SBlockRV, task: LoopRV | None) -> None:
    """Write the padded data in vectors: before all, or the rows of a `task` in it.

    A row of a depthwise convolution has so little work that writing all data, and reading it again, takes longer.
    """
    for converted in kernel.get_producers(padded):
        kernel.compute_inline(converted)
    if task is None:
        _spread(kernel, padded, LANES)
    else:
        kernel.compute_at(padded, task)
        kernel.vectorize(kernel.get_loops(padded)[-1])


def _result(kernel: s_tir.Schedule, convolution: SBlockRV, after: list[SBlockRV]) -> SBlockRV:
    """The last block, with those between it and the convolution inlined; or a copy of the convolution's result."""
    if not after:
        return kernel.cache_write(convolution, 0, "global")
    *between, last = after
    for block in between:
        kernel.compute_inline(block)
    return last


def tile(chunks: int, columns: int, registers: int) -> tuple[int, int]:
    """The blocks of channels and the columns of a tile: as many sums as fit, beside the weights and one value."""
    tiles = [
        (count, width)
        for count in (1, 2)
        for width in range(1, columns + 1)
        if chunks % count == 0 and columns % width == 0 and count * width + count + 1 <= registers
    ]
    return max(tiles, key=prod)


def _whole(kernel: s_tir.Schedule, blocks: list[SBlockRV], lanes: int) -> None:
    """Every block on all cores, with vectors along its last axis; blocks without sums are inlined into the next."""
    for block in blocks:
        if kernel.get_consumers(block) and all(axis.iter_type == SPATIAL for axis in kernel.get(block).iter_vars):
            kernel.compute_inline(block)
        else:
            _spread(kernel, block, lanes)


def _spread(kernel: s_tir.Schedule, block: SBlockRV, lanes: int) -> None:
    axes = [axis.iter_type for axis in kernel.get(block).iter_vars]
    loops = dict(zip(kernel.get_loops(block), axes, strict=True))
    *outer, last = [loop for loop, kind in loops.items() if kind == SPATIAL]
    sums = [loop for loop, kind in loops.items() if kind != SPATIAL]
    extent = int(kernel.get(last).extent)
    width = next((size for size in (lanes, lanes // 2, lanes // 4) if size > 1 and extent % size == 0), None)
    vectors = [last]
    if width:
        count = next(size for size in (*SUMS, 1) if extent // width % size == 0) if sums else 1
        rest, several, vector = kernel.split(last, [None, count, width])
        outer, vectors = [*outer, rest], [several, vector]
    kernel.reorder(*outer, *sums, *vectors)
    if outer:
        kernel.parallel(kernel.fuse(*outer))
    if width:
        in_registers(kernel, *vectors)
    if sums:
        kernel.decompose_reduction(block, sums[0])
