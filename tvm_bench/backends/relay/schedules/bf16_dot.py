"""BF16 dot products in a vector register: two products of bfloat16 values are added to a float32.

A bfloat16 is the upper half of a float32. Its bits are stored as uint16. TVM 0.19 cannot give LLVM vectors of bfloat16,
so the instruction is called by a function in LLVM's own language, which is inlined.
"""

from __future__ import annotations

from dataclasses import replace

import tvm
from tvm import tir
from tvm.target.x86 import target_has_features

from . import int8_dot
from .int8_dot import Kind

BITS = "uint16"  # the type that they are stored in
PAIR = 2  # values in a dot product
KIND = Kind("avx512bf16", 16, 32)


def best(channels: int = 16) -> Kind | None:
    """The dot product of the current target, with at most `channels` sums in a vector; None if it has none."""
    return replace(KIND, lanes=min(KIND.lanes, channels)) if target_has_features(KIND.feature) else None


def te_intrinsic(kind: Kind, dtype: str = BITS) -> tvm.ir.TensorIntrin:
    """The intrinsic for `Stage.tensorize`: data (2,), weights (lanes, 2), sums (lanes,) in local memory."""
    return int8_dot.intrinsic(kind, PAIR, (dtype, dtype), _accumulated, "float32")


def accumulate(kind: Kind, sums: tir.PrimExpr, pair: tir.PrimExpr, weights: tir.PrimExpr) -> tir.PrimExpr:
    """`sums` (float32 x lanes) plus the dot products of `pair` (2 values in an int32) with `weights` (int32 x lanes).

    The function that computes it has to be imported: see `llvm`.
    """
    return tir.call_pure_extern(f"float32x{kind.lanes}", _name(kind), sums, tir.Broadcast(pair, kind.lanes), weights)


def llvm(kind: Kind) -> str:
    """The function that `accumulate` calls, for the pragma `import_llvm`."""
    sums, values, words = f"<{kind.lanes} x float>", f"<{PAIR * kind.lanes} x bfloat>", f"<{kind.lanes} x i32>"
    instruction = f"@llvm.x86.avx512bf16.dpbf16ps.{32 * kind.lanes}"
    return f"""
        declare {sums} {instruction}({sums}, {values}, {values})
        define {sums} @{_name(kind)}({sums} %sums, {words} %data, {words} %weights) {{
          %pairs = bitcast {words} %data to {values}
          %others = bitcast {words} %weights to {values}
          %total = call {sums} {instruction}({sums} %sums, {values} %pairs, {values} %others)
          ret {sums} %total
        }}
    """


def _name(kind: Kind) -> str:
    return f"tvm_bench_bf16_dot_{kind.lanes}"


def _accumulated(kind: Kind, data: tir.Buffer, weights: tir.Buffer, sums: tir.PrimExpr) -> tir.PrimExpr:
    pair = tir.call_intrin("int32", "tir.reinterpret", data.vload([0], f"{BITS}x{PAIR}"))
    words = weights.vload([0, 0], f"{BITS}x{PAIR * kind.lanes}")
    return accumulate(kind, sums, pair, tir.call_intrin(f"int32x{kind.lanes}", "tir.reinterpret", words))
