"""Steps that several schedules share."""

from __future__ import annotations

from tvm import s_tir
from tvm.s_tir.schedule import LoopRV, SBlockRV


def result_of(kernel: s_tir.Schedule, convolution: SBlockRV, after: list[SBlockRV]) -> SBlockRV:
    """The last block, with those between it and the convolution inlined; or a copy of the convolution's result."""
    if not after:
        return kernel.cache_write(convolution, 0, "global")
    *between, last = after
    for block in between:
        kernel.compute_inline(block)
    return last


def in_registers(kernel: s_tir.Schedule, *loops: LoopRV) -> None:
    """Unroll the loops, and make a vector of the last."""
    *unrolled, vector = loops
    for loop in unrolled:
        kernel.unroll(loop)
    kernel.vectorize(vector)
