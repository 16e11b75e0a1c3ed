"""What the passes over Relay read from a call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator
from tvm.topi.utils import get_const_tuple

RESHAPES = ("reshape", "squeeze", "expand_dims", "nn.batch_flatten")
Shape = tuple[int, ...]


def in_order(mutator: ExprMutator, function: relay.Function) -> relay.Function:
    """`mutator.visit(function)`, inputs before their users: Python's recursion would not reach into deep networks."""
    relay.analysis.post_order_visit(function.body, mutator.visit)
    return mutator.visit(function)


def as_pass(mutator: type[ExprMutator]) -> Callable[[], tvm.transform.Pass]:
    """Decorates a mutator: calling it makes a pass, which visits each function with a new mutator."""

    def rewritten(function: relay.Function, module: tvm.IRModule, context: tvm.transform.PassContext) -> relay.Function:
        return in_order(mutator(), function)

    return partial(relay.transform.function_pass, rewritten, opt_level=0, name=mutator.__name__)


def is_reshape(expression: relay.Expr) -> bool:
    """Whether it only changes the shape: also a transpose of axes of size 1, and a broadcast to its own shape."""
    name = name_of(expression)
    if name not in (*RESHAPES, "transpose", "broadcast_to"):
        return False
    before = shape_of(expression.args[0])
    if name != "transpose":
        return name in RESHAPES or before == shape_of(expression)
    axes = get_const_tuple(expression.attrs.axes or ()) or tuple(reversed(range(len(before))))
    moved = [axis for axis in axes if before[axis] > 1]
    return moved == sorted(moved)


def before_reshapes(expression: relay.Expr) -> relay.Expr:
    while is_reshape(expression):
        expression = expression.args[0]
    return expression


def shape_of(expression: relay.Expr) -> Shape:
    return get_const_tuple(expression.checked_type.shape)


def is_scalar(expression: relay.Expr) -> bool:
    """Whether it is a constant with one element."""
    return isinstance(expression, relay.Constant) and expression.data.numpy().size == 1


def number(constant: relay.Constant) -> float:
    """The value of such a constant."""
    return constant.data.numpy().item()


def name_of(expression: relay.Expr) -> str:
    return getattr(expression.op, "name", "") if isinstance(expression, relay.Call) else ""
