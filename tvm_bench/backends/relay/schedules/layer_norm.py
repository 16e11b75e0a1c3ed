"""An operator for layer norm as one kernel.

Relay splits it into the mean, the variance and the rest: three kernels, whose sums are not vectorized.
"""

from __future__ import annotations

from tvm import relay, te, tir
from tvm.relay.op import OpPattern
from tvm.topi.utils import get_const_tuple, traverse_inline

from .operators import register

NAME = "tvm_bench.layer_norm"
TAG = "layer_norm"
LANES = 64  # sums at a time: four vectors of AVX-512, so that an addition need not wait for the one before it
VECTOR = 16
STAGES = ("factor", "mean", "total", "partial", "squares", "centred", "compile_engine_const")


def call(data: relay.Expr, scale: relay.Expr, shift: relay.Expr, epsilon: float) -> relay.Call:
    """Layer norm of the rows of `data` (M, N), with `scale` and `shift` (N,)."""
    operator = register(NAME, 4, lambda types, _: types[0], _compute, _schedule, OpPattern.OUT_ELEMWISE_FUSABLE)
    return relay.Call(operator, [data, scale, shift, relay.const(epsilon)])


def _compute(data: te.Tensor, scale: te.Tensor, shift: te.Tensor, epsilon: te.Tensor) -> te.Tensor:
    M, N = get_const_tuple(data.shape)
    lanes = _largest_divisor(N, LANES)

    def mean(value: te.Tensor) -> te.Tensor:
        """The mean of each row: first of each lane, then of all."""
        o, i = te.reduce_axis((0, N // lanes), "o"), te.reduce_axis((0, lanes), "i")
        partial = te.compute((M, lanes), lambda m, n: te.sum(value[m, o * lanes + n], axis=o), name="partial")
        total = te.compute((M,), lambda m: te.sum(partial[m, i], axis=i), name="total")
        return te.compute((M,), lambda m: total[m] * tir.const(1 / N, data.dtype), name="mean")

    means = mean(data)
    centred = te.compute((M, N), lambda m, n: data[m, n] - means[m], name="centred")
    squares = te.compute((M, N), lambda m, n: centred[m, n] * centred[m, n], name="squares")
    variance = mean(squares)
    factor = te.compute((M,), lambda m: tir.rsqrt(variance[m] + epsilon[()]), name="factor")
    return te.compute((M, N), lambda m, n: centred[m, n] * factor[m] * scale[n] + shift[n], name="layer_norm", tag=TAG)


def _schedule(outs: list[te.Tensor]) -> te.Schedule:
    schedule = te.create_schedule([out.op for out in outs])

    def visit(op: te.Operation) -> None:
        if op.tag == TAG:
            _schedule_norm(schedule, op, outs[0].op)

    traverse_inline(schedule, outs[0].op, visit)
    return schedule


def _schedule_norm(s: te.Schedule, norm: te.Operation, last: te.Operation) -> None:
    if not norm.same_as(last):
        s[norm].compute_inline()
    *outer, n = s[last].op.axis
    row = s[last].fuse(*outer) if len(outer) > 1 else outer[0]
    s[last].parallel(row)
    _vectorize(s[last], n)
    centred, factor = norm.input_tensors[:2]
    for stage in _stages(factor.op, centred.op):
        if stage.name not in ("partial", "total", "factor"):
            s[stage].compute_inline()
            continue
        s[stage].compute_at(s[last], row)
        if stage.name == "partial":
            n = s[stage].op.axis[1]
            s[stage].reorder(*s[stage].op.reduce_axis, n)
            _vectorize(s[stage], n)


def _stages(*ops: te.Operation) -> list[te.Operation]:
    """The stages that compute `ops` from the data, the last ones first."""
    stages: list[te.Operation] = []
    for op in ops:
        if op not in stages and isinstance(op, te.ComputeOp) and op.name in STAGES:
            stages += [op, *_stages(*(tensor.op for tensor in op.input_tensors))]
    return list(dict.fromkeys(stages))


def _vectorize(stage: te.Stage, axis: tir.IterVar) -> None:
    size = int(axis.dom.extent)
    vectors, lane = stage.split(axis, _largest_divisor(size, VECTOR))
    if size <= LANES:
        stage.unroll(vectors)
    stage.vectorize(lane)


def _largest_divisor(number: int, limit: int) -> int:
    return next(size for size in range(limit, 0, -1) if number % size == 0)
