"""Scales that are constants are folded into weights; those of a squeeze-and-excitation only where it pays."""

import numpy as np
import pytest
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import compiler, target
from tvm_bench.host.cpu import host_features

LANES = 16 if "avx512f" in host_features() else 8  # channels in a block


def network(size):
    """A constant scale (as of a batch norm) and a computed one, each before a 1x1 convolution of 16 channels."""
    random = np.random.default_rng(0)
    weights = [random.standard_normal((16, 16, 1, 1)).astype(np.float32) for _ in range(2)]
    scale = random.standard_normal((1, 16, 1, 1)).astype(np.float32)
    data = relay.var("data", shape=(1, 16, size, size))
    first = relay.nn.conv2d(data * relay.const(scale), relay.const(weights[0]), channels=16, kernel_size=(1, 1))
    gate = relay.nn.global_avg_pool2d(first)
    gate = gate * relay.sigmoid(gate)
    return relay.nn.conv2d(first * gate, relay.const(weights[1]), channels=16, kernel_size=(1, 1)), weights, scale


def answer(data, weights, scale):
    first = np.einsum("oc,nchw->nohw", weights[0][..., 0, 0], data * scale)
    gate = first.mean(axis=(2, 3), keepdims=True)
    gate = gate / (1 + np.exp(-gate))
    return np.einsum("oc,nchw->nohw", weights[1][..., 0, 0], first * gate)


@pytest.mark.parametrize(
    ("plan", "size", "multiplications"), [("default", 1, 2), ("default", 3, 1), ("default", 5, 0), ("stock", 3, 0)]
)
def test_few_pixels_are_scaled_rather_than_the_weights(plan, size, multiplications):
    output, weights, scale = network(size)
    module = relay.transform.InferType()(tvm.IRModule.from_expr(output))
    build = compiler.compiled(module, target.resolve(None, 2), compiler.Schedules(plan))
    data = np.random.default_rng(1).standard_normal((1, 16, size, size)).astype(np.float32)
    executor = graph_executor.GraphModule(build.library["default"](tvm.cpu()))
    executor.run(data=data)
    np.testing.assert_allclose(executor.get_output(0).numpy(), answer(data, weights, scale), rtol=2e-4, atol=2e-5)
    of_data = []

    def visit(node):
        if isinstance(node, relay.Call) and getattr(node.op, "name", "") == "multiply":
            of_data.append(tuple(node.checked_type.shape) == (1, 16 // LANES, size, size, LANES))

    relay.analysis.post_order_visit(relay.transform.InferType()(build.fused)["main"], visit)
    assert sum(of_data) == multiplications
