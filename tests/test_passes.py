"""The project's passes over Relay: quantized arithmetic gives what the frameworks give."""

import numpy as np
import pytest
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import passes, target


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("TOPHUB_LOCATION", "NONE")


def run(output, **data):
    chosen = target.resolve(None, 1)
    module = passes.lower_quantization(tvm.IRModule.from_expr(output), chosen)
    with tvm.transform.PassContext(3):
        executor = graph_executor.GraphModule(relay.build(module, target=chosen)["default"](tvm.cpu()))
    executor.run(**data)
    return executor.get_output(0).numpy()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 1, 16, 7, 7)).astype(np.uint8)


def test_a_quantized_sum_is_rounded_once(images):
    left, right = (relay.var(name, shape=images[0].shape, dtype="uint8") for name in ("left", "right"))
    terms = [(0.0401, 117), (0.0234, 3), (0.0342, 5)]
    constants = [relay.const(value) for scale, zero in terms for value in (np.float32(scale), zero)]
    found = run(relay.qnn.op.add(left, right, *constants), left=images[0], right=images[1])
    (left_scale, left_zero), (right_scale, right_zero), (scale, zero) = terms
    real = left_scale * (images[0].astype(float) - left_zero) + right_scale * (images[1].astype(float) - right_zero)
    assert np.abs(found - np.clip(real / scale + zero, 0, 255)).max() < 0.501


def test_a_quantized_average_is_rounded_and_not_cut_off(images):
    data = relay.var("data", shape=images[0].shape, dtype="uint8")
    pooled = relay.nn.adaptive_avg_pool2d(relay.cast(data, "int32"), (1, 1))
    found = run(relay.cast(pooled, "uint8"), data=images[0])
    assert np.abs(found - images[0].mean((2, 3), keepdims=True)).max() < 0.501
