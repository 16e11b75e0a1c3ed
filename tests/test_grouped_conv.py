"""Grouped convolutions in blocked layouts: the same answers as PyTorch on odd sizes, FP32 and INT8."""

import numpy as np
import pytest
import torch
import tvm
from torch.nn import functional as F
from tvm import relay

from tests.test_schedules import convolution, run
from tvm_bench.backends.relay import passes, schedules, target
from tvm_bench.backends.relay.schedules import conv_workload, int8_dot


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    ("shape", "outputs", "groups", "kernel", "stride", "dilation", "blocked"),
    [
        ((1, 32, 14, 14), 32, 4, 3, 1, 1, True),  # 8 channels in a group, blocks of 16
        ((1, 64, 7, 7), 64, 16, 3, 1, 1, True),  # 4 channels: groups are merged
        ((2, 48, 13, 9), 48, 2, 3, 2, 1, True),  # 24 channels, 3 vectors of 8
        ((1, 32, 14, 14), 64, 2, 3, 1, 2, True),
        ((1, 16, 10, 10), 32, 4, 3, 1, 1, True),  # 4 inputs, 8 outputs
        ((1, 16, 9, 9), 32, 16, 3, 1, 1, True),  # 1 input, 2 outputs
        ((1, 80, 7, 7), 80, 2, 1, 1, 1, True),
        ((7, 24, 11, 12), 24, 3, 5, 2, 1, True),
        ((1, 40, 25, 33), 40, 5, 3, 2, 1, True),
        ((1, 10, 9, 9), 20, 2, 3, 1, 1, False),  # 10 outputs in a group: TVM's
        ((1, 34, 9, 9), 34, 2, 3, 1, 1, False),  # 17
    ],
)
def test_it_is_exact_with_what_is_fused_behind_it(precision, shape, outputs, groups, kernel, stride, dilation, blocked):
    random = np.random.default_rng(0)
    data = random.integers(0, 256, shape).astype(np.uint8)
    weight = random.integers(-128, 128, (outputs, shape[1] // groups, kernel, kernel)).astype(np.int8)
    bias = random.integers(-1000, 1000, (outputs, 1, 1)).astype(np.int32)
    sizes = {"stride": stride, "dilation": dilation, "groups": groups, "padding": kernel // 2 * dilation}
    exact = F.conv2d(*(torch.from_numpy(array).double() for array in (data, weight)), **sizes).numpy()
    out = "int32"
    if precision == "fp32":
        data, weight, bias, out = (*(array.astype(np.float32) for array in (data, weight, bias)), "float32")
    attributes = {"strides": (stride,) * 2, "dilation": (dilation,) * 2, "groups": groups}
    output = convolution(data, weight, out, padding=(sizes["padding"],) * 2, **attributes)
    result, kernels, _ = run(relay.nn.relu(relay.add(output, relay.const(bias))), data)
    np.testing.assert_array_equal(result, np.maximum(exact + bias, 0))
    np.testing.assert_array_equal(run(output, data)[0], exact, err_msg="nothing fused behind it")
    assert ("contrib_conv2d_NCHWc" in kernels) == blocked


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_candidate_gives_the_same_answer(precision):
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (1, 48, 14, 14)).astype(np.uint8)
    weight = random.integers(-128, 128, (48, 16, 3, 3)).astype(np.int8)
    expected = F.conv2d(*(torch.from_numpy(array).double() for array in (data, weight)), padding=1, groups=3).numpy()
    out = "int32"
    if precision == "fp32":
        data, weight, out = data.astype(np.float32), weight.astype(np.float32), "float32"
    output = convolution(data, weight, out, padding=(1, 1), groups=3)
    workload = conv_workload.Convolution(precision, data.shape, (48, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 3)
    with target.resolve(None, 2):
        names = schedules.candidates(workload)
    assert len(names) > 3 and names[-1] == schedules.TVM
    for name in names:
        np.testing.assert_array_equal(run(output, data, {str(workload): name})[0], expected, err_msg=name)


def test_the_assembly_has_dot_products_for_int8():
    data = np.ones((1, 32, 8, 8), np.uint8)
    output = convolution(data, np.ones((32, 8, 3, 3), np.int8), "int32", padding=(1, 1), groups=4)
    with target.resolve(None, 2):
        kind = int8_dot.best(8)
    if not kind:
        pytest.skip("this CPU has no INT8 dot products")
    assert ("vpdpbusd" if "vnni" in kind.feature else "vpmaddwd") in run(output, data)[2]


@pytest.mark.parametrize("zero", [0, 13])
def test_a_quantized_one_stays_in_8_bits(zero):
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (1, 48, 9, 11)).astype(np.uint8)
    weight = random.integers(-128, 128, (48, 8, 3, 3)).astype(np.int8)
    parameters = [relay.const(zero), relay.const(0), relay.const(1.0), relay.const(1.0)]
    attributes = {"channels": 48, "kernel_size": (3, 3), "padding": (1, 1), "groups": 6, "out_dtype": "int32"}
    variable = relay.var("data", shape=data.shape, dtype="uint8")
    quantized = relay.qnn.op.conv2d(variable, relay.const(weight), *parameters, **attributes)
    cpu = target.resolve(None, 2)
    module = passes.lower_quantization(tvm.IRModule.from_expr(quantized), cpu)
    result, kernels, _ = run(module["main"].body, data)
    tensors = torch.from_numpy(data.astype(np.float64) - zero), torch.from_numpy(weight.astype(np.float64))
    np.testing.assert_array_equal(result, F.conv2d(*tensors, padding=1, groups=6).numpy())
    assert "contrib_conv2d_NCHWc" in kernels, "TVM's 32-bit convolution is not blocked"
