"""The simplifications of TVM's `SimplifyExpr` that change anything in the modules of this project.

TVM's pass infers the types of the whole module again for each of its thirty patterns. That took half of the time of an
INT8 build. This one visits each call once.
"""

from __future__ import annotations

import numpy as np
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, is_scalar, name_of, number

TVMS_PASSES = ["SimplifyExpr", "SimplifyExprPostAlterOp"]
NEUTRAL = {"add": 0, "subtract": 0, "multiply": 1, "divide": 1}


@as_pass
class Simplified(ExprMutator):
    """Removes operators that change nothing, and joins casts. Needs types; afterwards they are to be inferred again."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new, name = super().visit_call(call), name_of(call)
        if name in NEUTRAL:
            return self._without_neutral(call, new, NEUTRAL[name], commutes=name in ("add", "multiply"))
        if name == "clip" and _is_whole_type(call):
            return new.args[0]
        return _joined(call, new) if name == "cast" else new

    @staticmethod
    def _without_neutral(call: relay.Call, new: relay.Call, neutral: int, *, commutes: bool) -> relay.Expr:
        for value, other in ((0, 1), (1, 0)) if commutes else ((0, 1),):
            data, constant = call.args[value], call.args[other]
            if is_scalar(constant) and number(constant) == neutral and data.checked_type == call.checked_type:
                return new.args[value]
        return new


def _is_whole_type(clip: relay.Call) -> bool:
    dtype = np.dtype(clip.checked_type.dtype)
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    return limits is not None and clip.attrs.a_min <= limits.min and clip.attrs.a_max >= limits.max


def _joined(call: relay.Call, new: relay.Call) -> relay.Expr:
    """A cast without one before it that loses nothing, or that is none."""
    data, dtype = call.args[0], call.attrs.dtype
    if data.checked_type.dtype == dtype:
        return new.args[0]
    if name_of(data) == "cast" and np.can_cast(data.args[0].checked_type.dtype, data.checked_type.dtype):
        before = new.args[0].args[0] if name_of(new.args[0]) == "cast" else new.args[0]
        return before if data.args[0].checked_type.dtype == dtype else relay.cast(before, dtype)
    return new
