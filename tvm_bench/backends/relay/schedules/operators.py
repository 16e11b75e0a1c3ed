"""Operators of the project in Relay, each with its compute and schedule for CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relay, te
from tvm.relay.op import OpPattern, op
from tvm.target import override_native_generic_func


def register(
    name: str,
    inputs: int,
    type_of: Callable[[list, Any], relay.Type],
    compute: Callable[..., te.Tensor],
    schedule: Callable[[list[te.Tensor]], te.Schedule] | None = None,
    pattern: int = OpPattern.OPAQUE,
) -> tvm.ir.Op:
    """The operator `name`; the first call registers it, since TVM cannot remove one.

    `type_of(types of the inputs, attributes)` is its type. Without a schedule, the compute is one `te.extern`.
    """
    if name in tvm.ir.Op.list_op_names():
        return tvm.ir.Op.get(name)
    op.register(name, "")
    operator = tvm.ir.Op.get(name)
    operator.set_num_inputs(inputs)
    for i in range(inputs):
        operator.add_argument(str(i), "Tensor", "")
    operator.add_type_rel(name, type_of)
    operator.set_support_level(10)
    op.register_pattern(name, pattern)
    op.register_stateful(name, False)

    def strategy(attrs: Any, inputs: list[te.Tensor], out: Any, target: tvm.target.Target) -> relay.op.OpStrategy:
        result = relay.op.OpStrategy()
        result.add_implementation(
            lambda attrs, inputs, out: [compute(*inputs)],
            lambda attrs, outs, target: schedule(outs) if schedule else te.create_schedule([o.op for o in outs]),
            name=f"{name}.x86",
        )
        return result

    op.register_strategy(name, override_native_generic_func(f"{name}.strategy")(strategy))
    return operator
