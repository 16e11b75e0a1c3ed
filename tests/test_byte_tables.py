"""Functions of a byte are looked up, with the answers that floats give, and in the kernel of the convolution."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import byte_tables, compiler, rounding, target

SHAPE = (1, 16, 16, 16)
EVERY_BYTE = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(16, axis=1)
CPUS = [None, "llvm -mcpu=haswell"]


def scalar(value):
    return relay.const(np.float32(value))


def rounded(value):
    return rounding.quantized(value, 0, rounding.BYTES["uint8"], "uint8")


def silu(data):
    x = (relay.cast(data, "float32") - scalar(111)) * scalar(0.07)
    return rounded(x * relay.sigmoid(x) * scalar(23) + scalar(6))


def gelu(data):
    x = (relay.cast(data, "float32") - scalar(100)) * scalar(0.03)
    return rounded(x * (relay.erf(x * scalar(0.70710678)) + scalar(1)) * scalar(20) + scalar(9))


def exponential(data):
    return relay.cast(relay.clip(relay.exp(relay.cast(data, "float32") * scalar(0.01)) * scalar(40), -128, 127), "int8")


def convolved(data):
    """Each channel of the data as it is."""
    weight = relay.const(np.eye(16, dtype=np.int8).reshape(16, 16, 1, 1))
    sums = relay.nn.conv2d(data, weight, channels=16, kernel_size=(1, 1), out_dtype="int32")
    return rounded(relay.cast(sums, "float32"))


def answer(output, cpu, schedules="default"):
    module = relay.transform.InferType()(tvm.IRModule.from_expr(output))
    built = compiler.compiled(module, target.resolve(cpu, 2), compiler.Schedules(schedules))
    executor = graph_executor.GraphModule(built.library["default"](tvm.cpu()))
    executor.run(data=EVERY_BYTE)
    return executor.get_output(0).numpy(), str(built.fused)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("function", [silu, gelu, exponential])
def test_all_bytes_get_the_answers_of_floats(function, cpu, monkeypatch):
    output = function(convolved(relay.var("data", shape=SHAPE, dtype="uint8")))
    found, fused = answer(output, cpu)
    kernel = next(part for part in fused.split("fn (") if "conv2d" in part)
    assert byte_tables.LOOKUP in kernel, "in the kernel of the convolution"
    monkeypatch.setattr(byte_tables, "SLOW", {})
    exact, fused = answer(output, cpu)
    assert byte_tables.LOOKUP not in fused
    np.testing.assert_array_equal(found, exact)
    assert len(np.unique(exact)) > 50


def two_sources(data):
    gate = relay.sigmoid(relay.cast(data, "float32") * scalar(0.01))
    return rounded(gate * relay.cast(relay.nn.max_pool2d(data, (3, 3), padding=(1, 1)), "float32"))


def by_channel(data):
    factors = relay.const(np.linspace(0.1, 1, 16, dtype=np.float32).reshape(1, 16, 1, 1))
    return rounded(relay.sigmoid(relay.cast(data, "float32") * scalar(0.01)) * factors * scalar(200))


def cheap(data):
    x = relay.cast(data, "float32") - scalar(111)
    return rounded(x * relay.clip(x + scalar(3), 0, 6))


@pytest.mark.parametrize("function", [two_sources, by_channel, cheap])
def test_other_functions_are_computed(function):
    output = function(convolved(relay.var("data", shape=SHAPE, dtype="uint8")))
    assert byte_tables.LOOKUP not in answer(output, None)[1]


def test_stock_schedules_stay_those_of_tvm():
    output = silu(convolved(relay.var("data", shape=SHAPE, dtype="uint8")))
    assert byte_tables.LOOKUP not in answer(output, None, "stock")[1]
