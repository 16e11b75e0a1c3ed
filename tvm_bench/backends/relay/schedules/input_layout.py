"""A schedule for the operators before the first convolution: quantize, pad, and lay out in blocks of few channels.

TVM 0.19 splits the innermost axis by 16, whatever its size. With 4 channels in a block, the result is a guarded loop
that is not vectorized. Here a row is quantized in vectors, then interleaved. docs/results/graph.md has the gain on
ResNet-18.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import te
from tvm.relay.op.strategy import x86
from tvm.topi.utils import get_const_tuple

VECTOR = 16
MOVES = ("T_layout_trans", "T_pad")  # stages that compute nothing


def schedule(attrs: Any, outs: list[te.Tensor], target: tvm.target.Target) -> te.Schedule:
    """TVM's schedule for injective operators on x86, with this one for blocks smaller than a vector."""
    (*_, last) = shape = get_const_tuple(outs[0].shape)
    chain = _chain(outs[0].op) if len(outs) == 1 and len(shape) == 5 and last < VECTOR else []
    source = next((op for op in chain if op.name not in MOVES), None)
    if len(chain) < 2 or chain[0].name not in MOVES or source is None:
        with target:
            return x86.schedule_injective_cpu(attrs, outs, target)
    s = te.create_schedule([outs[0].op])
    for op in chain[1:]:
        for constant in op.input_tensors:
            if not constant.shape and isinstance(constant.op, te.ComputeOp):
                s[constant].compute_inline()
        if op != source:
            s[op].compute_inline()
    image, block, row, _, channel = s[outs[0]].op.axis
    rows = s[outs[0]].fuse(image, block, row)
    s[outs[0]].parallel(rows)
    s[outs[0]].unroll(channel)
    s[source].compute_at(s[outs[0]], rows)
    _, vector = s[source].split(s[source].op.axis[-1], VECTOR)
    s[source].vectorize(vector)
    return s


def _chain(op: te.Operation) -> list[te.Operation]:
    """`op` and all stages before it, the last one first; empty if a stage reads more than one other."""
    chain = [op]
    while inputs := [t.op for t in chain[-1].input_tensors if isinstance(t.op, te.ComputeOp) and t.shape]:
        if len(set(inputs)) > 1:
            return []
        chain.append(inputs[0])
    return chain
