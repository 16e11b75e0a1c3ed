"""An operator for attention, softmax(Q K^T + bias) V, as one kernel: its scores stay in the caches of a core.

For one head, a thread packs the keys, then computes the scores of some rows in registers, their softmax in place, and
their sums of values. In Relay without this operator, the two products and softmax are three kernels, and rows of 49
or 197 scores do not divide into vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relay, te, tir
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple

from .loops import Loops
from .operators import register

NAME = "tvm_bench.attention"
LEAST = 16  # inputs of a head are a multiple of this
HIDDEN = -1e30  # a score whose exponential is 0


def call(query: relay.Expr, key: relay.Expr, value: relay.Expr, bias: np.ndarray) -> relay.Call:
    """Attention of query (B, M, D), key (B, N, D) and value (B, N, D): (B, M, D).

    `bias` (G, M or 1, N) is added to the scores; row b of the batch has bias b % G. D is a multiple of `LEAST`.
    """
    extra = -bias.shape[2] % 16
    padded = np.pad(bias.astype("float32"), ((0, 0), (0, 0), (0, extra)), constant_values=HIDDEN)
    return relay.Call(register(NAME, 4, _type, _compute), [query, key, value, relay.const(padded)])


def _type(types: list, attrs: Any) -> relay.TensorType:
    return types[0]


def _compute(query: te.Tensor, key: te.Tensor, value: te.Tensor, bias: te.Tensor) -> te.Tensor:
    def kernel(ins: list[tir.Buffer], outs: list[tir.Buffer]) -> tir.Stmt:
        return _Kernel(*ins, outs[0]).statement()

    return te.extern(query.shape, [query, key, value, bias], kernel, name="attention", dtype=query.dtype)


class _Kernel(Loops):
    """The loops of the kernel. Rows that are left over are computed together with rows before them, again."""

    def __init__(self, *buffers: tir.Buffer):
        query, key = (get_const_tuple(buffer.shape) for buffer in buffers[:2])
        self.batch, self.M, self.D = query
        self.N = key[1]
        self.biases, self.bias_rows, self.padded = get_const_tuple(buffers[3].shape)
        super().__init__(get_simd_32bit_lanes(), self.M)
        self.query, self.key, self.value, self.bias, self.out = map(self.b.buffer_ptr, buffers)

    def statement(self) -> tir.Stmt:
        b = self.b
        with b.for_range(0, self.batch, "head", kind="parallel") as head:
            keys = b.allocate("float32", self.padded * self.D, "keys")
            scores = b.allocate("float32", self.rows * self.padded, "scores")
            self.pack(head, keys)
            with b.for_range(0, -(-self.M // self.rows), "tile") as tile:
                row = tir.min(tile * self.rows, self.M - self.rows)
                self.score(head, row, keys, scores)
                sums = [self.exponentials(scores, r) for r in range(self.rows)]
                self.average(head, row, scores, sums)
        return b.get()

    def pack(self, head: tir.Var, keys: Any) -> None:
        """The keys as vectors of `lanes` keys, one vector for each of D inputs."""
        with self.b.for_range(0, self.N, "n") as n, self.b.for_range(0, self.D, "d") as d:
            keys[self.place(n, d)] = self.key[head, n, d]
        if self.padded > self.N:
            with self.b.for_range(0, self.padded - self.N, "n") as n, self.b.for_range(0, self.D, "d") as d:
                keys[self.place(self.N + n, d)] = tir.const(0.0, "float32")

    def place(self, n: tir.PrimExpr, d: tir.Var) -> tir.PrimExpr:
        """Where input d of key n is."""
        return (n // self.lanes * self.D + d) * self.lanes + n % self.lanes

    def score(self, head: tir.Var, row: tir.PrimExpr, keys: Any, scores: Any) -> None:
        def multiply(d: tir.Var, block: tir.PrimExpr) -> tir.PrimExpr:
            return self.vector(keys, (block * self.D + d) * self.lanes)

        def put(r: int, block: tir.PrimExpr, total: tir.PrimExpr) -> None:
            bias_row = row + r if self.bias_rows > 1 else 0
            bias = self.bias[head % self.biases, bias_row, self.ramp(block * self.lanes)]
            scores[self.ramp(r * self.padded + block * self.lanes)] = total + bias

        def number(r: int, d: tir.Var) -> tir.PrimExpr:
            return self.query[head, row + r, d]

        self.products(self.padded // self.lanes, self.D, number, multiply, put)

    def exponentials(self, scores: Any, r: int) -> Any:
        """Replaces the scores of a row by their exponentials; returns a buffer with their sum."""
        b, vectors = self.b, self.padded // self.lanes
        largest, total = (
            b.allocate("float32", self.lanes, scope="local"),
            b.allocate("float32", self.lanes, scope="local"),
        )
        largest[self.ramp(0)] = self.vector(scores, r * self.padded)
        with b.for_range(0, vectors - 1, "n") as n:
            score = self.vector(scores, r * self.padded + (n + 1) * self.lanes)
            largest[self.ramp(0)] = tir.max(self.vector(largest, 0), score)
        most = self.reduced("llvm.vector.reduce.fmax", self.vector(largest, 0))
        kept = b.allocate("float32", 1, scope="local")
        kept[0] = most
        total[self.ramp(0)] = self.broadcast(tir.const(0.0, "float32"))
        with b.for_range(0, vectors, "n") as n:
            place = r * self.padded + n * self.lanes
            scores[self.ramp(place)] = tir.exp(self.vector(scores, place) - self.broadcast(kept[0]))
            total[self.ramp(0)] = self.vector(total, 0) + self.vector(scores, place)
        kept[0] = self.reduced("llvm.vector.reduce.fadd", tir.const(0.0, "float32"), self.vector(total, 0))
        return kept

    def average(self, head: tir.Var, row: tir.PrimExpr, scores: Any, sums: list) -> None:
        def multiply(n: tir.Var, block: tir.PrimExpr) -> tir.PrimExpr:
            return self.value[head, n, self.ramp(block * self.lanes)]

        def put(r: int, block: tir.PrimExpr, total: tir.PrimExpr) -> None:
            self.out[head, row + r, self.ramp(block * self.lanes)] = total / self.broadcast(sums[r][0])

        def number(r: int, n: tir.Var) -> tir.PrimExpr:
            return scores[r * self.padded + n]

        self.products(self.D // self.lanes, self.N, number, multiply, put)

    @staticmethod
    def reduced(name: str, *arguments: tir.PrimExpr) -> tir.PrimExpr:
        return tir.call_llvm_pure_intrin("float32", name, tir.const(len(arguments), "uint32"), *arguments)
