"""Steps that several schedules share."""

from __future__ import annotations

from tvm import s_tir
from tvm.s_tir.schedule import LoopRV


def in_registers(kernel: s_tir.Schedule, *loops: LoopRV) -> None:
    """Unroll the loops, and make a vector of the last."""
    *unrolled, vector = loops
    for loop in unrolled:
        kernel.unroll(loop)
    kernel.vectorize(vector)
