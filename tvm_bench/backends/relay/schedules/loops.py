"""Matrix products in vector registers, for kernels that are written as loops of TIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import tir

BLOCKS = 4  # vectors of a row that are summed together


def tile_rows(rows: int, registers: int) -> int:
    """The number of rows that are summed together: with the fewest multiplications and loads."""
    most = (registers - 1 - BLOCKS) // BLOCKS
    return min(range(1, min(most, rows) + 1), key=lambda r: -(-rows // r) * (r * BLOCKS + (r + BLOCKS) / 2))


class Loops:
    """Loops of TIR over vectors of `lanes` numbers, and tiles of `rows` rows that fit the registers."""

    def __init__(self, lanes: int, rows: int):
        self.b = tvm.tir.ir_builder.create()
        self.lanes = lanes
        self.rows = tile_rows(rows, 32 if lanes == 16 else 16)

    def products(self, vectors: int, depth: int, number: Callable, multiply: Callable, put: Callable) -> None:
        """For each of `vectors` and each row, the sum over `depth` of number(r, d) * multiply(d, vector)."""

        def tile(first: tir.PrimExpr, blocks: int) -> None:
            places = [(r, o) for r in range(self.rows) for o in range(blocks)]
            sums = self.b.allocate("float32", len(places) * self.lanes, "sums", scope="local")
            for i, _ in enumerate(places):
                sums[self.ramp(i * self.lanes)] = self.broadcast(tir.const(0.0, "float32"))
            with self.b.for_range(0, depth, "d") as d:
                for i, (r, o) in enumerate(places):
                    more = self.broadcast(number(r, d)) * multiply(d, first + o)
                    sums[self.ramp(i * self.lanes)] = self.vector(sums, i * self.lanes) + more
            for i, (r, o) in enumerate(places):
                put(r, first + o, self.vector(sums, i * self.lanes))

        whole, left = divmod(vectors, BLOCKS)
        if whole:
            with self.b.for_range(0, whole, "blocks") as block:
                tile(block * BLOCKS, BLOCKS)
        if left:
            tile(tir.const(whole * BLOCKS, "int32"), left)

    def ramp(self, place: tir.PrimExpr | int) -> tir.PrimExpr:
        return tir.Ramp(place, 1, self.lanes)

    def vector(self, buffer: Any, place: tir.PrimExpr | int) -> tir.PrimExpr:
        return buffer[self.ramp(place)]

    def broadcast(self, value: tir.PrimExpr) -> tir.PrimExpr:
        return tir.Broadcast(value, self.lanes)
