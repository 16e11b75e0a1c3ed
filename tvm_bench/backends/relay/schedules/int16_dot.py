"""Dot products of two int16 values in a vector register: s16 x s16 -> s32, sums modulo 2^32."""

from __future__ import annotations

import tvm
from tvm import te, tir

from .int8_dot import Kind

PAIR = 2  # values in a dot product


def te_intrinsic(kind: Kind) -> tvm.ir.TensorIntrin:
    """The intrinsic for `Stage.tensorize`: data (2,), weights (lanes, 2), sums (lanes,) in local memory."""
    data = te.placeholder((PAIR,), "int16", "data")
    weights = te.placeholder((kind.lanes, PAIR), "int16", "weights")
    i = te.reduce_axis((0, PAIR), "i")
    sums = te.compute((kind.lanes,), lambda k: te.sum(data[i].astype("int32") * weights[k, i].astype("int32"), i))
    buffers = {
        data: tir.decl_buffer(data.shape, data.dtype, offset_factor=1, strides=[1]),
        weights: tir.decl_buffer(weights.shape, weights.dtype, offset_factor=1, strides=[te.var("stride"), 1]),
        sums: tir.decl_buffer(sums.shape, sums.dtype, offset_factor=1, strides=[1], scope="local"),
    }

    def emit(ins: list[tir.Buffer], outs: list[tir.Buffer]) -> tuple[tir.Stmt, tir.Stmt, tir.Stmt]:
        zero = tir.const(0, f"int32x{kind.lanes}")
        data, weights = ins
        first, after = (_accumulated(kind, data, weights, before) for before in (zero, outs[0].vload([0], zero.dtype)))
        return outs[0].vstore([0], first), outs[0].vstore([0], zero), outs[0].vstore([0], after)

    return te.decl_tensor_intrin(sums.op, emit, binds=buffers)


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
