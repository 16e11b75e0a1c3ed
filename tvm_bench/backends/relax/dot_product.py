"""Dot products of 8-bit integers by one instruction, for the schedule of a convolution."""

# No `from __future__ import annotations`: TVM reads the annotations of the functions below as buffers.
# mypy: disable-error-code="valid-type"

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

FOUR = 4  # products that are added up


def instruction(lanes: int, scope: str = "local") -> str:
    """The name of the intrinsic that adds `FOUR` products to each of `lanes` int32 sums.

    The `scope` of the sums is `local`, for registers, or `global`, where MetaSchedule has them. The instruction is
    VPDPBUSD: a value of uint8 data is multiplied by one of the int8 weights (lanes, `FOUR`).
    """
    name = f"vpdpbusd_{lanes}_{scope}"
    if TensorIntrin.get(name, allow_missing=True) is None:
        TensorIntrin.register(name, *_definition(lanes, scope))
    return name


def _definition(lanes: int, scope: str) -> tuple:
    """What the intrinsic computes, and how."""
    data, weights, sums = f"uint8x{FOUR * lanes}", f"int8x{FOUR * lanes}", f"int32x{lanes}"
    vpdpbusd = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"

    @T.prim_func(s_tir=True)
    def computed(
        A: T.Buffer((FOUR,), "uint8", offset_factor=1),
        B: T.Buffer((lanes, FOUR), "int8", offset_factor=1),
        C: T.Buffer((lanes,), "int32", offset_factor=1, scope=scope),
    ) -> None:
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:FOUR], B[0:lanes, 0:FOUR])
            T.writes(C[0:lanes])
            for i, k in T.grid(lanes, FOUR):
                with T.sblock("sum"):
                    lane, place = T.axis.remap("SR", [i, k])
                    C[lane] = C[lane] + T.cast(A[place], "int32") * T.cast(B[lane, place], "int32")

    @T.prim_func(s_tir=True)
    def by_instruction(
        A: T.Buffer((FOUR,), "uint8", offset_factor=1),
        B: T.Buffer((lanes, FOUR), "int8", offset_factor=1),
        C: T.Buffer((lanes,), "int32", offset_factor=1, scope=scope),
    ) -> None:
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:FOUR], B[0:lanes, 0:FOUR])
            T.writes(C[0:lanes])
            four = T.reinterpret(A.vload([0], f"uint8x{FOUR}"), dtype="int32")
            C[T.ramp(T.int32(0), 1, lanes)] = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id(vpdpbusd),
                C.vload([0], dtype=sums),
                T.reinterpret(T.broadcast(four, lanes), dtype=data),
                B.vload([0, 0], dtype=weights),
                dtype=sums,
            )

    return computed, by_instruction
