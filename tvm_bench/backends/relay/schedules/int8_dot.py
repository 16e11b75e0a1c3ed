"""INT8 dot products in a vector register: u8 x s8 -> s32, exact, by the best instructions of a CPU.

`te_intrinsic` is for the default schedules, `register` for MetaSchedule. TVM 0.19's own intrinsics bind vectors with
`let`, which LLVM 21 rejects, or saturate intermediate sums in 16 bits (`vpmaddubsw`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tvm
from tvm import te, tir
from tvm.script import tir as T
from tvm.target.x86 import target_has_features

BYTES = 4  # in a dot product


@dataclass(frozen=True)
class Kind:
    """A kind of dot product: its LLVM feature, 32-bit sums per vector (`lanes`), and number of vector registers."""

    feature: str
    lanes: int
    registers: int

    @property
    def name(self) -> str:
        """The name of the intrinsic in MetaSchedule's registry."""
        return f"tvm_bench.dot_{self.lanes}x{BYTES}_{self.feature}"

    def accumulate(self, sums: tir.PrimExpr, data: tir.PrimExpr, weights: tir.PrimExpr) -> tir.PrimExpr:
        """`sums` (int32 x lanes) plus the dot products of `data` (4 bytes in an int32) with `weights` (int8 x 4 lanes).

        One expression, without bindings.
        """
        bits, vector = 32 * self.lanes, f"int32x{self.lanes}"
        data = tir.Broadcast(data, self.lanes)
        if "vnni" in self.feature:
            name = f"llvm.x86.avx512.vpdpbusd.{bits}"
            words = tir.call_intrin(vector, "tir.reinterpret", weights)
            return tir.call_llvm_pure_intrin(vector, name, tir.const(3, "uint32"), sums, data, words)
        # Bytes 0 and 2 of each sum, then 1 and 3, widened to 16 bits: `vpmaddwd` adds pairs in 32.
        name = {512: "llvm.x86.avx512.pmaddw.d.512", 256: "llvm.x86.avx2.pmadd.wd"}[bits]
        shorts = f"int16x{2 * self.lanes}"
        data, weights = (tir.call_intrin(shorts, "tir.reinterpret", value) for value in (data, weights))
        eight, mask = tir.const(8, shorts), tir.const(255, shorts)
        for left, right in ((data & mask, (weights << eight) >> eight), ((data >> eight) & mask, weights >> eight)):
            sums = sums + tir.call_llvm_pure_intrin(vector, name, tir.const(2, "uint32"), left, right)
        return sums

    def accumulate_pairs(self, sums: tir.PrimExpr, data: tir.PrimExpr, weights: tir.PrimExpr) -> tir.PrimExpr:
        """The same where sums of two products fit 16 bits (see `pairs_fit`): half as many instructions."""
        if "vnni" in self.feature:
            return self.accumulate(sums, data, weights)
        bits, vector, shorts = 32 * self.lanes, f"int32x{self.lanes}", f"int16x{2 * self.lanes}"
        pairs, fours = {
            512: ("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
            256: ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
        }[bits]
        data = tir.call_intrin(f"int8x{BYTES * self.lanes}", "tir.reinterpret", tir.Broadcast(data, self.lanes))
        two, ones = tir.const(2, "uint32"), tir.const(1, shorts)
        products = tir.call_llvm_pure_intrin(shorts, pairs, two, data, weights)
        return sums + tir.call_llvm_pure_intrin(vector, fours, two, products, ones)


KINDS = (Kind("avx512vnni", 16, 32), Kind("avxvnni", 8, 16), Kind("avx512bw", 16, 32), Kind("avx2", 8, 16))


def best(channels: int = 16) -> Kind | None:
    """The fastest kind on the current target, with at most `channels` sums in a vector; None if there is none."""
    fastest = next((kind for kind in KINDS if target_has_features(kind.feature)), None)
    return fastest and replace(fastest, lanes=min(fastest.lanes, channels))


def has_vnni() -> bool:
    """Whether the current target sums four products in one instruction."""
    kind = best()
    return kind is not None and "vnni" in kind.feature


def pairs_fit(weights: np.ndarray) -> bool:
    """Whether products of any uint8 data with two neighbouring input channels of `weights` (O, I, ...) fit 16 bits."""
    values = weights.astype(np.int32)
    pairs = values.reshape(values.shape[0], -1, 2, *values.shape[2:])
    largest, smallest = (np.iinfo(np.uint8).max * part.sum(axis=2) for part in (pairs.clip(min=0), pairs.clip(max=0)))
    limits = np.iinfo(np.int16)
    return bool(largest.max() <= limits.max and smallest.min() >= limits.min)


def te_intrinsic(kind: Kind, *, pairs: bool = False) -> tvm.ir.TensorIntrin:
    """The intrinsic for `Stage.tensorize`: data (4,), weights (lanes, 4), sums (lanes,) in local memory.

    `pairs`: the weights pass `pairs_fit`.
    """
    return intrinsic(kind, BYTES, ("uint8", "int8"), partial(_accumulated, pairs=pairs))


def intrinsic(
    kind: Kind, count: int, dtypes: tuple[str, str], accumulated: Callable, total: str = "int32"
) -> tvm.ir.TensorIntrin:
    """The intrinsic for dot products of `count` values of data and weights of `dtypes`, added up in `total`.

    `accumulated(kind, data, weights, sums)` is an expression: the vector `sums` plus the products of both buffers.
    """
    data = te.placeholder((count,), dtypes[0], "data")
    weights = te.placeholder((kind.lanes, count), dtypes[1], "weights")
    i = te.reduce_axis((0, count), "i")
    sums = te.compute((kind.lanes,), lambda k: te.sum(data[i].astype(total) * weights[k, i].astype(total), i))
    buffers = {
        data: tir.decl_buffer(data.shape, data.dtype, offset_factor=1, strides=[1]),
        weights: tir.decl_buffer(weights.shape, weights.dtype, offset_factor=1, strides=[te.var("stride"), 1]),
        sums: tir.decl_buffer(sums.shape, sums.dtype, offset_factor=1, strides=[1], scope="local"),
    }

    def emit(ins: list[tir.Buffer], outs: list[tir.Buffer]) -> tuple[tir.Stmt, tir.Stmt, tir.Stmt]:
        zero = tir.const(0, f"{total}x{kind.lanes}")
        data, weights = ins
        first, after = (accumulated(kind, data, weights, before) for before in (zero, outs[0].vload([0], zero.dtype)))
        return outs[0].vstore([0], first), outs[0].vstore([0], zero), outs[0].vstore([0], after)

    return te.decl_tensor_intrin(sums.op, emit, binds=buffers)


def register(kind: Kind) -> str:
    """Register the intrinsic for TIR schedules; returns its name."""
    shapes = {"data": ((BYTES,), "uint8"), "weights": ((kind.lanes, BYTES), "int8"), "sums": ((kind.lanes,), "int32")}
    data, weights, sums = (
        tir.decl_buffer(shape, dtype, name, offset_factor=1) for name, (shape, dtype) in shapes.items()
    )
    vector = f"int32x{kind.lanes}"
    body = sums.vstore([0], _accumulated(kind, data, weights, sums.vload([0], vector)))
    regions = [
        tir.BufferRegion(buffer, [tvm.ir.Range(0, size) for size in buffer.shape]) for buffer in (sums, data, weights)
    ]
    block = tir.Block([], regions, regions[:1], "root", body)
    handles = [tir.Var(buffer.name, "handle") for buffer in (data, weights, sums)]
    implementation = tir.PrimFunc(
        handles, tir.BlockRealize([], True, block), buffer_map=dict(zip(handles, (data, weights, sums), strict=True))
    )
    tir.TensorIntrin.register(kind.name, _description(kind.lanes), implementation, override=True)
    return kind.name


def _accumulated(
    kind: Kind, data: tir.Buffer, weights: tir.Buffer, sums: tir.PrimExpr, *, pairs: bool = False
) -> tir.PrimExpr:
    four = tir.call_intrin("int32", "tir.reinterpret", data.vload([0], f"uint8x{BYTES}"))
    accumulate = kind.accumulate_pairs if pairs else kind.accumulate
    return accumulate(sums, four, weights.vload([0, 0], f"int8x{BYTES * kind.lanes}"))


def _description(lanes: int) -> tir.PrimFunc:
    """The computation of the intrinsic, which TVM matches in a loop nest."""

    @T.prim_func
    def dot_product(
        data: T.Buffer((4,), "uint8", offset_factor=1),  # type: ignore[valid-type]  # TVMScript
        weights: T.Buffer((lanes, 4), "int8", offset_factor=1),  # type: ignore[valid-type]
        sums: T.Buffer((lanes,), "int32", offset_factor=1),  # type: ignore[valid-type]
    ) -> None:
        with T.block("root"):
            T.reads(sums[0:lanes], data[0:4], weights[0:lanes, 0:4])
            T.writes(sums[0:lanes])
            for i in T.serial(0, lanes):
                for k in T.serial(0, 4):
                    with T.block("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        sums[vi] = sums[vi] + T.cast(data[vk], "int32") * T.cast(weights[vi, vk], "int32")

    return dot_product
