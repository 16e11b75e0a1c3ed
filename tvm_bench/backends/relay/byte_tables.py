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

LOOKUP = "tvm_bench.lookup"
BYTES = ("uint8", "int8")
SLOW: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
    "erf": np.vectorize(erf, otypes=[np.float64]),
}
ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


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
        return relay.Call(tvm.ir.Op.get(LOOKUP), [self.visit(source), relay.const(_table(source, steps))])


def _chain(last: relay.Call) -> list[relay.Expr] | None:
    """The value of uint8 that `last` is a function of, then all calls from it to `last`, inputs before their users.

    None if `last` depends on more than that value and scalars, or by other operators than those of this file.
    """
    sources: list[relay.Expr] = []
    steps: list[relay.Expr] = []

    def visit(value: relay.Expr) -> bool:
        if is_scalar(value) or any(value.same_as(known) for known in (*sources, *steps)):
            return True
        if shape_of(value) != shape_of(last):
            return False
        if value.checked_type.dtype == "uint8" and not value.same_as(last):
            sources.append(value)
            return len(sources) == 1
        if name_of(value) not in (*SLOW, *ARITHMETIC, "cast", "clip", "reinterpret"):
            return False
        known = all(map(visit, value.args))
        steps.append(value)
        return known

    return [*sources, *steps] if visit(last) and sources else None


def _table(source: relay.Expr, steps: list[relay.Call]) -> np.ndarray:
    """The answers (256,) of `steps` for all values of `source`."""
    answers = [np.arange(256, dtype=np.uint8)]
    values = [source, *steps]

    def of(value: relay.Expr) -> np.ndarray:
        if is_scalar(value):
            return value.data.numpy().reshape(())
        return answers[next(place for place, known in enumerate(values) if value.same_as(known))]

    for step in steps:
        answers.append(_answer(step, *map(of, step.args)))
    return answers[-1]


def _answer(step: relay.Call, *inputs: np.ndarray) -> np.ndarray:
    name, attributes, data = name_of(step), step.attrs, inputs[0]
    if name in SLOW:
        return SLOW[name](data.astype(np.float64)).astype(data.dtype)
    if name in ARITHMETIC:
        return ARITHMETIC[name](*inputs)
    if name == "clip":
        return data.clip(*(np.asarray(limit, data.dtype) for limit in (attributes.a_min, attributes.a_max)))
    return data.view(attributes.dtype) if name == "reinterpret" else data.astype(attributes.dtype)


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
