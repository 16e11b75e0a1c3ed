"""Dot products of two int16 values in a vector register: s16 x s16 -> s32, sums modulo 2^32."""

from __future__ import annotations

import tvm
from tvm import tir

from .int8_dot import Kind, intrinsic

PAIR = 2  # values in a dot product


def te_intrinsic(kind: Kind) -> tvm.ir.TensorIntrin:
    """The intrinsic for `Stage.tensorize`: data (2,), weights (lanes, 2), sums (lanes,) in local memory."""
    return intrinsic(kind, PAIR, ("int16", "int16"), _accumulated)


def _accumulated(kind: Kind, data: tir.Buffer, weights: tir.Buffer, sums: tir.PrimExpr) -> tir.PrimExpr:
    bits, vector, shorts = 32 * kind.lanes, f"int32x{kind.lanes}", f"int16x{PAIR * kind.lanes}"
    pair = tir.call_intrin("int32", "tir.reinterpret", data.vload([0], f"int16x{PAIR}"))
    pairs, words = tir.Broadcast(pair, kind.lanes), weights.vload([0, 0], shorts)
    if "vnni" in kind.feature:
        words = tir.call_intrin(vector, "tir.reinterpret", words)
        name = f"llvm.x86.avx512.vpdpwssd.{bits}"
        return tir.call_llvm_pure_intrin(vector, name, tir.const(3, "uint32"), sums, pairs, words)
    name = {512: "llvm.x86.avx512.pmaddw.d.512", 256: "llvm.x86.avx2.pmadd.wd"}[bits]
    pairs = tir.call_intrin(shorts, "tir.reinterpret", pairs)
    return sums + tir.call_llvm_pure_intrin(vector, name, tir.const(2, "uint32"), pairs, words)
