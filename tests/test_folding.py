"""Constant expressions by NumPy are those that TVM computes."""

import numpy as np
import pytest
import tvm
from tvm import relay

from tvm_bench.backends.relay.folding import FoldWithNumPy
from tvm_bench.backends.relay.shortcuts import while_importing

WEIGHT = relay.const(np.random.default_rng(0).standard_normal((32, 16, 3, 5)).astype("float32"))
VECTOR = relay.const(np.arange(1, 33, dtype="float32"))
TIES = relay.const(np.array([-2.5, -1.5, -0.5, 0.49999997, 0.5, 1.5, 2.4, -0.1, 8388609.0], "float32"))
EXPRESSIONS = {
    "blocked": relay.layout_transform(WEIGHT, "OIHW", "OIHW8i16o"),
    "blocked twice": relay.layout_transform(WEIGHT, "OIHW", "OIHW4i16o4i"),
    "unblocked": relay.layout_transform(relay.layout_transform(WEIGHT, "OIHW", "OIHW4i16o4i"), "OIHW4i16o4i", "HWIO"),
    "vector": relay.layout_transform(relay.expand_dims(VECTOR, 1, 2), "CHW", "CHW16c"),
    "negative axis": relay.expand_dims(VECTOR, -1),
    "arithmetic": relay.cast(-relay.sqrt(VECTOR) / (VECTOR + VECTOR * VECTOR - relay.ones_like(VECTOR)), "int8"),
    "integers": relay.cast(relay.const(np.array([250, 3], "uint8")) + relay.const(np.uint8(9)), "int64"),
    "rounding": relay.clip(relay.round(relay.copy(TIES)), -2.0, 2.0),
    "sums": relay.sum(relay.cast(WEIGHT * relay.const(20.0), "int8"), (2, 3), keepdims=True),
    "joined": relay.concatenate([relay.const([1, 2]), relay.strided_slice(relay.const([3, 4, 5]), [1], [3])], 0),
    "slices": relay.strided_slice(WEIGHT, [-3, 4], [40, 1000], [1, 5], [0, 3]),
    "strides": relay.strided_slice(WEIGHT, [1, 0, 0, -4], [31, 16, 3, -1], [3, 2, 1, 1]),
    "choices": relay.where(relay.less(TIES, relay.const(0.0)), relay.maximum(TIES, relay.const(-1.0)), TIES),
    "limits": relay.minimum(relay.const([1, 5]), relay.const(3)),
    "taken": relay.take(WEIGHT, relay.const([[2, 0], [1, 1]]), axis=2),
    "shapes": relay.squeeze(relay.reshape(relay.transpose(WEIGHT, (3, 2, 1, 0)), (0, -1, 1, 32)), [2]),
}


def folded(expression: relay.Expr, *passes: tvm.transform.Pass) -> relay.Expr:
    module = tvm.IRModule.from_expr(expression)
    return tvm.transform.Sequential([relay.transform.InferType(), *passes])(module)["main"].body


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_values_are_those_of_tvm(expression):
    own, tvms = (folded(expression, p) for p in (FoldWithNumPy(), relay.transform.FoldConstant()))
    assert isinstance(own, relay.Constant) and own.data.dtype == tvms.data.dtype
    np.testing.assert_array_equal(own.data.numpy(), tvms.data.numpy())


@pytest.mark.parametrize(
    "expression",
    [
        relay.strided_slice(VECTOR, [20], [2], [-3]),
        relay.strided_slice(VECTOR, [2], [20], slice_mode="size"),
        relay.take(VECTOR, relay.const([40]), axis=0),
    ],
)
def test_what_numpy_means_otherwise_is_left_to_tvm(expression):
    assert isinstance(folded(expression, FoldWithNumPy()), relay.Call)


def test_what_depends_on_an_input_stays():
    data = relay.var("data", shape=(32,))
    body = folded(data + VECTOR * VECTOR, FoldWithNumPy())
    assert body.op.name == "add" and isinstance(body.args[1], relay.Constant)


def test_tvm_folds_the_rest_while_a_model_is_imported():
    data = relay.var("data", shape=(2, 3))
    with while_importing():
        shape = relay.transform.FoldConstantExpr(folded(relay.shape_of(data) + relay.const([1, 1])), tvm.IRModule())
        power = relay.transform.FoldConstantExpr(relay.power(VECTOR, VECTOR) + VECTOR, tvm.IRModule())
        joined = relay.transform.FoldConstantExpr(relay.concatenate([VECTOR, VECTOR], 0), tvm.IRModule())
    assert shape.data.numpy().tolist() == [3, 4]
    assert isinstance(power, relay.Constant) and joined.data.shape == (64,)
