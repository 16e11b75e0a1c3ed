"""Shortcuts through TVM's front ends and its lowering, with the same results.

TVM folds constants and infers types in the whole graph again after every operator, so that the time to import a network
grows with the square of its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import tvm
from tvm import relay
from tvm.relay.backend import te_compiler
from tvm.relay.frontend import common
from tvm.relay.frontend import onnx as onnx_frontend

from .folding import Folding
from .schedules.override import attribute

# TVM reads all options that it was built with at every dimension of every kernel.
te_compiler.libinfo = cache(te_compiler.libinfo)


@contextmanager
def while_importing() -> Iterator[None]:
    """While the context is open, TVM's front ends and its lowering of QDQ pairs look at every node only once."""
    replacements = (
        (relay.transform, "FoldConstantExpr", _fold()),
        (common, "infer_type", _infer_type),
        (onnx_frontend, "infer_type", _infer_type),
        (onnx_frontend, "_get_convert_map", cache(onnx_frontend._get_convert_map)),
    )
    with ExitStack() as stack:
        for replacement in replacements:
            stack.enter_context(attribute(*replacement))
        yield


def _fold() -> Any:
    """`FoldConstantExpr`, with NumPy first."""
    folding, tvms = Folding(), relay.transform.FoldConstantExpr

    def fold(expression: relay.Expr, module: tvm.IRModule, *options: Any) -> relay.Expr:
        folding.leftovers = False
        folded = folding.visit(expression)
        return folding.known(tvms(folded, module, *options)) if folding.leftovers else folded

    return fold


def _infer_type(node: relay.Expr, mod: tvm.IRModule | None = None, *, tvms: Any = common.infer_type) -> relay.Expr:
    """`infer_type`, which starts from the types that the arguments of `node` have already."""
    if mod is not None or not isinstance(node, relay.Call | relay.Tuple | relay.TupleGetItem):
        return tvms(node, mod)
    relay.transform.InferTypeLocal(node)
    return node
