"""A pass for functions of a byte that are computed in floats, such as SiLU of INT8: a table has all 256 answers.

TVM computes exp and a division for each element. `take` would look the answer up, but TVM does not fuse it behind a
convolution; the operator of this file is fused like an addition.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np
import tvm
from tvm import relay, te, topi
from tvm.relay.expr_functor import ExprMutator
from tvm.relay.op import op as operators

from .calls import as_pass, is_scalar, name_of, shape_of
from .folding import OPERATORS
from .rounding import BYTES

LOOKUP = "tvm_bench.lookup"
SLOW: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
    "erf": np.vectorize(erf, otypes=[np.float64]),
}
FAST = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "clip", "cast")  # folding.py computes them


@as_pass
class ByteTables(ExprMutator):
    """Looks up a byte for a byte of uint8 where the function between them has an operator of `SLOW`."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "cast" or call.checked_type.dtype not in BYTES:
            return new
        chain = _chain(call)
        if chain is None or not any(name_of(step) in SLOW for step in chain):
            return new
        source, *steps = chain
        table = _table(source, steps)
        return new if table is None else relay.Call(tvm.ir.Op.get(LOOKUP), [self.visit(source), relay.const(table)])


NAME = ByteTables().info.name


def _chain(last: relay.Call) -> list[relay.Expr] | None:
    """The value of uint8 that `last` is a function of, then all calls from it to `last`, inputs before their users.

    None if `last` depends on more than that value and scalars, or by other operators than those of this file.
    """
    sources: list[relay.Expr] = []
    steps: dict[relay.Expr, None] = {}

    def visit(value: relay.Expr) -> bool:
        if is_scalar(value) or value in steps or any(map(value.same_as, sources)):
            return True
        if shape_of(value) != shape_of(last):
            return False
        if value.checked_type.dtype == "uint8" and not value.same_as(last):
            sources.append(value)
            return len(sources) == 1
        if name_of(value) not in (*SLOW, *FAST, "reinterpret"):
            return False
        known = all(map(visit, value.args))
        steps[value] = None
        return known

    return [*sources, *steps] if visit(last) and sources else None


def _table(source: relay.Expr, steps: list[relay.Call]) -> np.ndarray | None:
    """The answers (256,) of `steps` for all values of `source`; None if folding.py leaves one of them to TVM."""
    answers = {source: np.arange(256, dtype=np.uint8)}
    for step in steps:
        inputs = (answers[value] if value in answers else value.data.numpy().reshape(()) for value in step.args)
        answer = _answer(step, *inputs)
        if answer is None:
            return None
        answers[step] = answer
    return answers[steps[-1]]


def _answer(step: relay.Call, *inputs: np.ndarray) -> np.ndarray | None:
    name, data = name_of(step), inputs[0]
    if name in SLOW:
        return SLOW[name](data.astype(np.float64)).astype(data.dtype)
    return data.view(step.attrs.dtype) if name == "reinterpret" else OPERATORS[name](step.attrs, *inputs)


def _register() -> None:
    operators.register(LOOKUP, "A byte of a table (256,) for each byte of data.")
    lookup = operators.get(LOOKUP)
    lookup.set_num_inputs(2)
    lookup.add_argument("data", "Tensor", "The data, of uint8.")
    lookup.add_argument("table", "Tensor", "The answers for 0 to 255.")
    lookup.add_type_rel("TvmBenchLookup", lambda types, _: relay.TensorType(types[0].shape, types[1].dtype))
    lookup.set_support_level(10)
    operators.register_stateful(LOOKUP, False)
    operators.register_pattern(LOOKUP, operators.OpPattern.ELEMWISE)
    operators.register_compute(LOOKUP, _computed)
    operators.register_injective_schedule(LOOKUP)


def _computed(_: Any, inputs: list[te.Tensor], __: Any) -> list[te.Tensor]:
    data, table = inputs
    return [te.compute(data.shape, lambda *place: table[data(*place).astype("int32")], tag=topi.tag.ELEMWISE)]


_register()
