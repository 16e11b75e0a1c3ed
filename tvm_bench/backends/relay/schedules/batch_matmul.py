"""A schedule for products of batches of FP32 matrices, for any numbers of rows and columns.

TVM 0.19's schedule needs 16 columns in common, and splits the sums instead of the outputs.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relay, te, tir
from tvm.relay.op.strategy import x86
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple, traverse_inline
from tvm.topi.x86.injective import schedule_injective_from_existing

from .loops import Loops

LEAST_COLUMNS = 4


def strategy(attrs: Any, inputs: list[te.Tensor], out: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """This schedule for (B, M, K) times (B, K, N) or (B, N, K), else TVM's."""
    left, right = (get_const_tuple(tensor.shape) for tensor in inputs)
    columns = right[1 if attrs.transpose_b else 2]
    known = all(isinstance(size, int) for size in (*left, *right))
    if not known or attrs.transpose_a or left[0] != right[0] or columns < LEAST_COLUMNS or _is_not_float(inputs, out):
        return x86.batch_matmul_strategy_cpu(attrs, inputs, out, target)

    def compute(attrs: Any, inputs: list[te.Tensor], out: Any) -> list[te.Tensor]:
        def kernel(ins: list[tir.Buffer], outs: list[tir.Buffer]) -> tir.Stmt:
            return _Kernel(ins[0], ins[1], outs[0], transposed=bool(attrs.transpose_b)).statement()

        return [te.extern((*left[:2], columns), inputs, kernel, name="batch_matmul", dtype="float32")]

    result = relay.op.OpStrategy()
    result.add_implementation(compute, lambda attrs, outs, target: _schedule(outs), name="batch_matmul_tiles.x86")
    return result


def _is_not_float(inputs: list[te.Tensor], out: Any) -> bool:
    return {inputs[0].dtype, inputs[1].dtype, out.dtype} != {"float32"}


def _schedule(outs: list[te.Tensor]) -> te.Schedule:
    s = te.create_schedule([out.op for out in outs])
    if isinstance(outs[0].op, te.ComputeOp):  # the operators behind the product
        traverse_inline(s, outs[0].op, lambda op: None)
        schedule_injective_from_existing(s, outs[0])
    return s


class _Kernel(Loops):
    """The loops for one product. Rows and columns that are left over are computed again with those before them."""

    def __init__(self, left: tir.Buffer, right: tir.Buffer, out: tir.Buffer, *, transposed: bool):
        self.batch, self.M, self.N = get_const_tuple(out.shape)
        self.K = int(left.shape[2])
        lanes = get_simd_32bit_lanes()
        while lanes > self.N:
            lanes //= 2
        super().__init__(lanes, self.M)
        self.left, self.right, self.out = map(self.b.buffer_ptr, (left, right, out))
        self.transposed = transposed
        self.vectors = -(-self.N // lanes)

    def statement(self) -> tir.Stmt:
        with self.b.for_range(0, self.batch, "matrix", kind="parallel") as matrix:
            panel = self.b.allocate("float32", self.vectors * self.K * self.lanes, "panel")
            self.pack(matrix, panel)
            with self.b.for_range(0, -(-self.M // self.rows), "tile") as tile:
                row = tir.min(tile * self.rows, self.M - self.rows)
                self.products(
                    self.vectors,
                    self.K,
                    lambda r, k: self.left[matrix, row + r, k],
                    lambda k, vector: self.vector(panel, (vector * self.K + k) * self.lanes),
                    lambda r, vector, total: self.put(matrix, row + r, vector, total),
                )
        return self.b.get()

    def pack(self, matrix: tir.Var, panel: Any) -> None:
        """The columns as vectors, in the order in which the products read them."""
        with self.b.for_range(0, self.vectors, "v") as v, self.b.for_range(0, self.K, "k") as k:
            if self.transposed:
                with self.b.for_range(0, self.lanes, "n") as n:
                    place = (v * self.K + k) * self.lanes + n
                    panel[place] = self.right[matrix, self.first(v) + n, k]
            else:
                vector = self.right[matrix, k, self.ramp(self.first(v))]
                panel[self.ramp((v * self.K + k) * self.lanes)] = vector

    def put(self, matrix: tir.Var, row: tir.PrimExpr, vector: tir.PrimExpr, total: tir.PrimExpr) -> None:
        self.out[matrix, row, self.ramp(self.first(vector))] = total

    def first(self, vector: tir.PrimExpr) -> tir.PrimExpr:
        return tir.min(vector * self.lanes, self.N - self.lanes)
