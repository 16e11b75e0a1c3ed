"""Rows of a table that are selected by integers of the input."""

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import compiler, target


def test_rows_that_a_computed_index_selects_are_compiled():
    """LLVM refuses the vectors that the elimination of common subexpressions would bind."""
    table = np.random.default_rng(0).standard_normal((50, 8)).astype("f4")
    tokens = relay.var("tokens", shape=(1, 6), dtype="int64")
    index = relay.where(tokens < relay.const(0, "int64"), tokens + relay.const(50, "int64"), tokens)
    rows = relay.take(relay.const(table), index, axis=0) * relay.const(38.0)
    rounded = relay.clip(relay.clip(rows, -3e6, 3e6) + relay.const(1.2e7), 1.1e7, 1.3e7) - relay.const(1.2e7)
    body = relay.nn.batch_flatten(relay.cast(rounded, "int8"))
    module = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([tokens], body)))
    built = compiler.compiled(module, target.resolve(None, 1), compiler.Schedules())
    executor = graph_executor.GraphModule(built.library["default"](tvm.cpu()))
    chosen = np.array([[3, -1, 0, 49, 7, -50]])
    executor.run(tokens=chosen)
    expected = np.rint(table[chosen] * 38).reshape(1, 48)
    assert np.abs(executor.get_output(0).numpy() - expected).max() <= 1
