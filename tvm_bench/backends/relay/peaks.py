"""What this CPU gives now: the most operations per second of each kind, and bytes per second from each memory.

Loops of one instruction: less than half a second in all, after one second of compiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tvm
from tvm import te, tir
from tvm.target.x86 import get_simd_32bit_lanes

from ...host import machine
from .schedules import bf16_dot, int8_dot, int16_dot

CHAINS = 10  # sums that do not wait for each other; with two operands they fit the 16 registers of AVX2
STEPS = 200_000  # so that the call takes no part of the time
REPEATS = 100
READ_BYTES = 64 * 2**20  # in each run, in as many passes as that takes
SERVED = 0.5  # of a cache, so that nothing else displaces the data
MEMORY_BYTES = 128 * 2**20  # at least, and four times the last cache


def measured(target: tvm.target.Target, threads: int) -> dict[str, float]:
    """10^9 operations per second by `fp32`, `int8`, `int16` and `bf16`, and 10^9 bytes by `l2`, `l3` and `memory`.

    Operations are measured on one core, and multiplied by `threads`. Bytes are read by all threads. The best of some
    runs: an interruption makes a run slower, never faster. Kinds that the CPU lacks are left out.
    """
    with target:
        rates = {"fp32": _operations(target, get_simd_32bit_lanes(), "float32", 1, _multiply_add)}
        if kind := int8_dot.best():
            rates["int8"] = _operations(target, kind.lanes, "int32", int8_dot.BYTES, _int8(kind))
            rates["int16"] = _operations(target, kind.lanes, "int32", int16_dot.PAIR, _int16(kind))
        if kind := bf16_dot.best():
            rates["bf16"] = _operations(target, kind.lanes, "float32", bf16_dot.PAIR, _bf16(kind), bf16_dot.llvm(kind))
        rates = {name: threads * rate for name, rate in rates.items()}
        return rates | {name: _rate(target, size) for name, size in _sizes(threads).items()}


Step = Callable[[tir.PrimExpr, tir.PrimExpr], tir.PrimExpr]  # of a vector of sums, and a number


def _multiply_add(value: tir.PrimExpr, number: tir.PrimExpr) -> tir.PrimExpr:
    operand = tir.Broadcast(number, get_simd_32bit_lanes())
    return value * operand + operand


def _int8(kind: int8_dot.Kind) -> Step:
    """By bytes: on a CPU without VNNI, the faster way that some weights allow."""

    def step(value: tir.PrimExpr, number: tir.PrimExpr) -> tir.PrimExpr:
        weights = tir.call_intrin(f"int8x{int8_dot.BYTES * kind.lanes}", "tir.reinterpret", value)
        return kind.accumulate_pairs(value, number, weights)

    return step


def _int16(kind: int8_dot.Kind) -> Step:
    def step(value: tir.PrimExpr, number: tir.PrimExpr) -> tir.PrimExpr:
        return int16_dot.accumulate(kind, value, number, value)

    return step


def _bf16(kind: int8_dot.Kind) -> Step:
    def step(value: tir.PrimExpr, number: tir.PrimExpr) -> tir.PrimExpr:
        pair = tir.call_intrin("int32", "tir.reinterpret", number)
        return bf16_dot.accumulate(kind, value, pair, tir.call_intrin(f"int32x{kind.lanes}", "tir.reinterpret", value))

    return step


def _operations(
    target: tvm.target.Target, lanes: int, dtype: str, terms: int, step: Step, functions: str = ""
) -> float:
    """10^9 multiplications and additions per second of a core, of `terms` products for each value of a vector.

    `functions` are those that a step calls, in LLVM's language.
    """
    shape, vector = (lanes,), f"{dtype}x{lanes}"
    data = te.placeholder(shape, dtype, "data")

    def emit(ins: list[tir.Buffer], outs: list[tir.Buffer]) -> tir.Stmt:
        builder = tir.ir_builder.create()
        sums = builder.allocate(vector, (CHAINS,), scope="local")
        number = ins[0].vload([0], dtype)
        for chain in range(CHAINS):
            sums[chain] = ins[0].vload([0], vector) + tir.const(chain, vector)
        with builder.for_range(0, STEPS):
            for chain in range(CHAINS):
                sums[chain] = step(sums[chain], number)
        total = sums[0]
        for chain in range(1, CHAINS):
            total = total + sums[chain]
        builder.emit(outs[0].vstore([0], total))
        loop = builder.get()
        return tir.AttrStmt(outs[0].data, "pragma_import_llvm", tir.StringImm(functions), loop) if functions else loop

    result = te.extern(shape, [data], emit, dtype=dtype)
    function = tvm.build(te.create_schedule(result.op), [data, result], target)
    arrays = [tvm.nd.array(np.ones(shape, dtype)) for _ in range(2)]
    return 2e-9 * lanes * terms * CHAINS * STEPS / _best(function, arrays)


def _rate(target: tvm.target.Target, size: tuple[int, int, int]) -> float:
    """10^9 bytes per second of reading a float32 array of this size (threads, n, width) again and again."""
    threads, _, width = size
    read = 4 * math.prod(size)
    passes = max(1, READ_BYTES // read)
    data, often = te.placeholder(size, "float32", "data"), te.placeholder((passes,), "float32", "often")
    p, k = te.reduce_axis((0, passes), "p"), te.reduce_axis((0, size[1]), "k")
    result = te.compute((threads, width), lambda t, c: te.sum(data[t, k, c] * often[p], axis=[p, k]))
    schedule = te.create_schedule(result.op)
    sums = schedule.cache_write(result, "local")
    thread, _ = schedule[result].op.axis
    schedule[result].parallel(thread)
    schedule[sums].compute_at(schedule[result], thread)
    _, c = schedule[sums].op.axis
    outer, c = schedule[sums].split(c, get_simd_32bit_lanes())
    schedule[sums].reorder(*schedule[sums].op.reduce_axis, outer, c)
    schedule[sums].unroll(outer)
    schedule[sums].vectorize(c)
    function = tvm.build(schedule, [data, often, result], target)
    arrays = [tvm.nd.array(np.ones(shape, np.float32)) for shape in (size, (passes,), (threads, width))]
    return 1e-9 * read * passes / _best(function, arrays)


def _sizes(threads: int) -> dict[str, tuple[int, int, int]]:
    """The shapes of arrays that each cache, and none of them, holds."""
    width = CHAINS * get_simd_32bit_lanes()
    caches = machine.cache_bytes()
    private = {f"l{level}": SERVED * caches[level] * threads for level in (2,) if level in caches}
    shared = {f"l{level}": SERVED * caches[level] for level in (3,) if level in caches}
    memory = {"memory": max(MEMORY_BYTES, 4 * max(caches.values(), default=0))}
    return {
        name: (threads, int(size / (4 * threads * width)), width) for name, size in (private | shared | memory).items()
    }


def _best(function: tvm.runtime.Module, arrays: list[tvm.nd.NDArray]) -> float:
    """Seconds of the fastest run."""
    function(*arrays)
    return min(function.time_evaluator(function.entry_name, tvm.cpu(), number=1, repeat=REPEATS)(*arrays).results)
