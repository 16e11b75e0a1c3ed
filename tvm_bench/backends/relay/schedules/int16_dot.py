"""Dot products of two int16 values in a vector register: s16 x s16 -> s32, sums modulo 2^32."""

from __future__ import annotations

import tvm
from tvm import tir

from .int8_dot import Kind, intrinsic

PAIR = 2  # values in a dot product


def te_intrinsic(kind: Kind) -> tvm.ir.TensorIntrin:
    """The intrinsic for `Stage.tensorize`: data (2,), weights (lanes, 2), sums (lanes,) in local memory."""
    return intrinsic(kind, PAIR, ("int16", "int16"), _accumulated)


def accumulate(kind: Kind, sums: tir.PrimExpr, pair: tir.PrimExpr, weights: tir.PrimExpr) -> tir.PrimExpr:
    """`sums` (int32 x lanes) plus the dot products of `pair` (2 values in an int32) with `weights` (int32 x lanes)."""
    bits, vector, shorts = 32 * kind.lanes, f"int32x{kind.lanes}", f"int16x{PAIR * kind.lanes}"
    pairs = tir.Broadcast(pair, kind.lanes)
    if "vnni" in kind.feature:
        name = f"llvm.x86.avx512.vpdpwssd.{bits}"
        return tir.call_llvm_pure_intrin(vector, name, tir.const(3, "uint32"), sums, pairs, weights)
    name = {512: "llvm.x86.avx512.pmaddw.d.512", 256: "llvm.x86.avx2.pmadd.wd"}[bits]
    pairs, weights = (tir.call_intrin(shorts, "tir.reinterpret", value) for value in (pairs, weights))
    return sums + tir.call_llvm_pure_intrin(vector, name, tir.const(2, "uint32"), pairs, weights)


def _accumulated(kind: Kind, data: tir.Buffer, weights: tir.Buffer, sums: tir.PrimExpr) -> tir.PrimExpr:
    pair = tir.call_intrin("int32", "tir.reinterpret", data.vload([0], f"int16x{PAIR}"))
    words = weights.vload([0, 0], f"int16x{PAIR * kind.lanes}")
    return accumulate(kind, sums, pair, tir.call_intrin(f"int32x{kind.lanes}", "tir.reinterpret", words))
