"""exp, sigmoid, tanh and erf in vectors: their errors, their limits, and that no element is computed by itself."""

import numpy as np
import pytest
import tvm
from scipy import special
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import schedules, target
from tvm_bench.backends.relay.schedules import vector_math

FUNCTIONS = {  # the function in float64, its range in this test, and whether the error is relative
    "exp": (np.exp, (-87.0, 88.0), True),
    "sigmoid": (special.expit, (-100.0, 100.0), False),
    "tanh": (np.tanh, (-20.0, 20.0), False),
    "erf": (special.erf, (-20.0, 20.0), False),
}
LARGEST_ERROR = {"exp": 2e-7, "sigmoid": 2e-7, "tanh": 5e-7, "erf": 5e-7}


def built(output):
    with schedules.using(), tvm.transform.PassContext(3):
        return relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, 2))


def run(library, data):
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    executor.run(data=data)
    return executor.get_output(0).numpy()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_is_the_stated_one_and_no_element_is_computed_by_itself(name):
    exact, (low, high), relative = FUNCTIONS[name]
    values = np.concatenate([np.linspace(low, high, 500_000), np.geomspace(1e-8, 1, 50_000)])
    data = np.resize(values.astype(np.float32), (1, 16, 40_000))
    library = built(getattr(relay, name)(relay.var("data", shape=data.shape)))
    expected = exact(data.astype(np.float64))
    error = np.abs(run(library, data) - expected) / (expected if relative else 1.0)
    assert error.max() < LARGEST_ERROR[name]
    assembly = library.get_lib().get_source("asm")
    assert "vfmadd" in assembly and not {"expf", "tanhf", "erff"} & set(assembly.replace("@", " ").split())


@pytest.mark.parametrize(
    ("name", "at_infinities"), [("exp", (0.0, np.inf)), ("sigmoid", (0, 1)), ("tanh", (-1, 1)), ("erf", (-1, 1))]
)
def test_infinities_and_nan(name, at_infinities):
    data = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan, 0.0] * 8, np.float32)
    answer = run(built(getattr(relay, name)(relay.var("data", shape=data.shape))), data)
    np.testing.assert_allclose(answer[:4], np.repeat(at_infinities, 2), rtol=5e-7)
    assert np.isnan(answer[4]) and answer[5] == {"exp": 1.0, "sigmoid": 0.5}.get(name, 0.0)


def test_other_types_and_tvms_own_builds_are_as_before():
    data = np.linspace(-5, 5, 32)
    library = built(relay.exp(relay.var("data", shape=data.shape, dtype="float64")))
    np.testing.assert_allclose(run(library, data), np.exp(data))
    operators = {name: tvm.ir.Op.get(f"tir.{name}") for name in vector_math.RULES}
    attributes = {name: operator.get_attr("llvm.FLowerIntrinsic") for name, operator in operators.items()}
    with schedules.using():
        assert all(operator.get_attr("llvm.FLowerIntrinsic") for operator in operators.values())
    after = {name: operator.get_attr("llvm.FLowerIntrinsic") for name, operator in operators.items()}
    assert {name for name, rule in after.items() if rule} == {name for name, rule in attributes.items() if rule}
    assert after["sigmoid"] is None, "TVM has one rule for all targets"
