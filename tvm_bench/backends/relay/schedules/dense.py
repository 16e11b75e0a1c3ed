"""Schedules for matrix products of several rows with constant weights: FP32 and INT8 (u8 x s8 -> s32).

The weights are packed in blocks of 16 outputs when the model is built. A kernel first copies its data to panels: some
rows, in the order in which the product reads them. Then a tile of rows and blocks stays in vector registers while
the loop runs over the inputs. A thread keeps the weights of a tile in its caches for all rows.

TVM 0.19's `dense_pack` reads rows at a stride that is often a multiple of 4096 bytes, where they displace each other
from L1, and its tiles must divide the number of rows: 197, of a Vision Transformer, is prime.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import tvm
from tvm import relay, te
from tvm.relay.op.strategy import wrap_compute_dense, wrap_topi_schedule, x86
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.utils import get_const_tuple, traverse_inline
from tvm.topi.x86 import dense_alter_op

from . import int8_dot, int8_products, int16_dot

LEAST_ROWS = 4  # fewer rows are bound by memory: TVM's schedules read the weights as fast
INT8_BLOCK = 16
TAG = "dense_panels"
PANEL_BYTES = 64  # of a row that lie together in a panel
TASKS_PER_THREAD = 4  # at least, so that threads end at about the same time
Tile = tuple[int, int]  # rows, blocks of outputs


def alter_layout(attrs: Any, inputs: list, types: list, out: Any) -> relay.Expr | None:
    """The product with packed weights where this schedule fits, else TVM's choice."""
    (data, weight), (data_type, weight_type) = inputs, types
    layout = _layout(data_type, weight_type, out)
    if not layout or not isinstance(weight, relay.Constant | relay.Call):
        return dense_alter_op._alter_dense_layout(attrs, inputs, types, out)
    if weight_type.dtype == "int8":
        weight, word = int8_products.weights_for(weight)
        layout = _int8_layout(word)
    return relay.nn.contrib_dense_pack(data, weight, layout, None, out.dtype)


def strategy(attrs: Any, inputs: list[te.Tensor], out: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
    """This schedule for packed weights where it fits, else TVM's."""
    data, weight = inputs
    rows = get_const_tuple(data.shape)[0]
    outputs, inputs_ = int(weight.shape[0] * weight.shape[2]), int(data.shape[1])
    unpacked = (te.placeholder((outputs, inputs_), weight.dtype), out)
    if attrs.weight_layout != _layout(data, *unpacked):
        return x86.dense_pack_strategy_cpu(attrs, inputs, out, target)
    chosen = tile(rows, int(weight.shape[0]), _registers(data.dtype))
    result = relay.op.OpStrategy()
    result.add_implementation(
        wrap_compute_dense(partial(_compute, rows=chosen[0])),
        wrap_topi_schedule(partial(_schedule, tile=chosen, threads=int(target.attrs.get("num-cores", 1)))),
        name="dense_panels.x86",
    )
    return result


def _layout(data: Any, weight: Any, out: Any) -> str | None:
    """The layout of packed weights for data (M, K) and weight (N, K); None where this schedule does not fit."""
    (rows, inputs), outputs = get_const_tuple(data.shape), get_const_tuple(weight.shape)[0]
    if not isinstance(rows, int) or rows < LEAST_ROWS:
        return None
    if data.dtype == weight.dtype == out.dtype == "float32" and outputs % get_simd_32bit_lanes() == 0:
        return f"NC{get_simd_32bit_lanes()}n"
    words = {"int8": int8_dot.BYTES, "int16": int16_dot.PAIR}
    int8 = (data.dtype, out.dtype) == ("uint8", "int32") and weight.dtype in words and int8_dot.best()
    if int8 and outputs % INT8_BLOCK == inputs % int8_dot.BYTES == 0:
        return _int8_layout(words[weight.dtype])
    return None


def _int8_layout(word: int) -> str:
    return f"NC{INT8_BLOCK}n{word}c"


def _registers(dtype: str) -> int:
    """The vector registers, in blocks of outputs."""
    if dtype == "uint8":
        kind = int8_dot.best()
        assert kind, "without an INT8 dot product this schedule does not fit"
        registers = kind.registers * kind.lanes // INT8_BLOCK
        return registers if "vnni" in kind.feature else registers // 2 + 2  # the others are for products
    return 32 if get_simd_32bit_lanes() == 16 else 16


def tile(rows: int, blocks: int, registers: int) -> Tile:
    """The tile with the least estimated time: multiplications, of padded rows too, and half of the loads."""
    fitting = [
        (r, b)
        for r, b in product(range(1, registers), range(1, registers))
        if blocks % b == 0 and r * b + b + 1 <= registers
    ]
    return min(fitting, key=lambda t: -(-rows // t[0]) * (t[0] * t[1] + (t[0] + t[1]) / 2) / t[1])


def _compute(data: te.Tensor, weight: te.Tensor, bias: Any, out_dtype: str, *, rows: int) -> te.Tensor:
    """Data (M, K) and weight (N/16, K, 16) or (N/16, K/4, 16, 4) -> (M, N)."""
    M, K = get_const_tuple(data.shape)
    blocks, _, block, *four = get_const_tuple(weight.shape)
    largest = PANEL_BYTES // (4 if not four else 1)
    piece = next(size for size in range(largest, 0, -1) if K % size == 0 and size % (four[0] if four else 1) == 0)
    panel = weight.dtype if weight.dtype == "int16" else data.dtype
    panels = te.compute(
        (-(-M // rows), K // piece, rows, piece),
        lambda t, c, r, k: data[te.min(t * rows + r, M - 1), c * piece + k].astype(panel),
        name="panels",
    )
    c = te.reduce_axis((0, K // piece), "c")
    if four:
        f, e = te.reduce_axis((0, piece // four[0]), "f"), te.reduce_axis((0, four[0]), "e")

        def total(t: Any, o: Any, r: Any, n: Any) -> Any:
            product = panels[t, c, r, f * four[0] + e].astype(out_dtype)
            return te.sum(product * weight[o, c * (piece // four[0]) + f, n, e].astype(out_dtype), axis=[c, f, e])
    else:
        k = te.reduce_axis((0, piece), "k")

        def total(t: Any, o: Any, r: Any, n: Any) -> Any:
            return te.sum(panels[t, c, r, k] * weight[o, c * piece + k, n], axis=[c, k])

    sums = te.compute((panels.shape[0], blocks, rows, block), total, name="sums")
    return te.compute(
        (M, blocks * block), lambda m, n: sums[m // rows, n // block, m % rows, n % block], name="dense", tag=TAG
    )


def _schedule(outs: list[te.Tensor], tile: Tile, threads: int) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule_product(schedule, op, outs[0].op, tile, threads)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_product(s: te.Schedule, dense: te.Operation, last: te.Operation, tile: Tile, threads: int) -> None:
    sums = dense.input_tensors[0]
    panels = sums.op.input_tensors[0]
    rows, blocks = tile
    count, all_blocks, _, block = get_const_tuple(sums.shape)
    if not dense.same_as(last):
        s[dense].compute_inline()

    t, c, r, k = s[panels].op.axis
    s[panels].parallel(t)
    s[panels].reorder(t, r, c, k)
    s[panels].vectorize(k)

    *outer, m, n = s[last].op.axis
    t, r = s[last].split(m, rows)
    o, n = s[last].split(n, block)
    o, b = s[last].split(o, blocks)
    # Few blocks: the rows are divided too.
    parts = -(-TASKS_PER_THREAD * threads * blocks // all_blocks)
    part, t = s[last].split(t, -(-count // min(parts, count)))
    s[last].reorder(*outer, o, part, t, r, b, n)
    s[last].parallel(s[last].fuse(*outer, o, part))
    s[last].unroll(b)
    s[last].vectorize(n)

    s[sums].set_scope("local")
    s[sums].compute_at(s[last], t)
    _, o, r, n = s[sums].op.axis
    if len(s[sums].op.reduce_axis) == 3:
        c, f, e = s[sums].op.reduce_axis
        kind = int8_dot.best()
        assert kind, "without an INT8 dot product this schedule does not fit"
        vector, n = s[sums].split(n, kind.lanes)
        s[sums].reorder(c, f, r, o, vector, n, e)
        s[sums].tensorize(n, int8_products.te_intrinsic(kind, panels.dtype))
        unrolled = [r, o, vector]
    else:
        c, k = s[sums].op.reduce_axis
        s[sums].reorder(c, k, r, o, n)
        s[sums].vectorize(n)
        unrolled = [r, o]
    for axis in unrolled:
        s[sums].unroll(axis)
