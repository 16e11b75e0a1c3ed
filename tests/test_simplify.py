"""Operators that change nothing are removed, and no others; tables of quantized functions need no compiler."""

import numpy as np
import pytest
import tvm
from tvm import relay
from tvm.relay.qnn.op import canonicalizations

from tvm_bench.backends.relay import passes, quantized_tables, target
from tvm_bench.backends.relay.simplify import Simplified


def const(value, dtype="float32"):
    return relay.const(np.array(value, dtype))


def operators(function):
    names = []
    relay.analysis.post_order_visit(
        function.body, lambda e: names.append(e.op.name) if isinstance(e, relay.Call) else None
    )
    return names


@pytest.mark.parametrize(
    ("make", "dtype", "left"),
    [
        (lambda x: x + const(0.0), "float32", []),
        (lambda x: const(0.0) + x, "float32", []),
        (lambda x: x - const(0.0), "float32", []),
        (lambda x: const(1.0) * x / const(1.0), "float32", []),
        (lambda x: x * const([[1.0]]), "float32", []),
        (lambda x: x * const([[1.0, 2.0]]), "float32", ["multiply"]),
        (lambda x: const(0.0) - x, "float32", ["subtract"]),
        (lambda x: const(1.0) / x, "float32", ["divide"]),
        (lambda x: x + const(np.zeros((3, 1, 1))), "float32", ["add"]),  # another shape
        (lambda x: relay.cast(x, "float32"), "float32", []),
        (lambda x: relay.cast(relay.cast(x, "int32"), "float32"), "uint8", ["cast"]),
        (lambda x: relay.cast(relay.cast(x, "int32"), "uint8"), "uint8", []),
        (lambda x: relay.cast(relay.cast(x, "uint8"), "float32"), "float32", ["cast", "cast"]),
        (lambda x: relay.clip(x, 0.0, 255.0), "uint8", []),
        (lambda x: relay.clip(x, 0.0, 254.0), "uint8", ["clip"]),
        (lambda x: relay.clip(x, 0.0, 255.0), "float32", ["clip"]),
    ],
)
def test_what_changes_nothing_is_removed(make, dtype, left):
    x = relay.var("x", shape=(2, 2), dtype=dtype)
    module = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([x], make(x))))
    simplified = relay.transform.InferType()(Simplified()(module))
    assert simplified["main"].ret_type == module["main"].ret_type
    assert operators(simplified["main"]) == left
    data = np.array([[0, 1], [2, 255]], dtype)
    before, after = (relay.create_executor("debug", m).evaluate()(data).numpy() for m in (module, simplified))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_table_is_that_of_the_function(dtype):
    grids = [const(0.05), const(3, "int32"), const(1 / 256), const(-5, "int32")]
    made = quantized_tables.table(lambda x: 1 / (1 + np.exp(-x)), *grids, in_dtype=dtype, out_dtype=dtype)
    steps = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float64)
    limits = np.iinfo(dtype)
    exact = np.clip(256 / (1 + np.exp(-(steps - 3) * 0.05)) - 5, limits.min, limits.max)
    assert made.dtype == dtype and np.abs(made - exact).max() < 0.501
    tvms = canonicalizations.create_integer_lookup_table(
        lambda x: 1 / (1 + np.exp(-x)), *grids, in_dtype=dtype, out_dtype=dtype
    )
    assert (made == tvms).mean() > 0.99


def test_lowering_a_quantized_function_compiles_nothing(monkeypatch):
    monkeypatch.setattr(canonicalizations, "run_const_expr", None)
    x, grid = relay.var("x", shape=(4,), dtype="uint8"), (const(0.05), const(3, "int32"))
    module = tvm.IRModule.from_expr(relay.Function([x], relay.qnn.sigmoid(x, *grid, const(1 / 256), const(0, "int32"))))
    assert "take" in operators(passes.lower_quantization(module, target.resolve(None, 1))["main"])
