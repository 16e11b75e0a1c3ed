"""Resizes: right by each method, position and layout, with what is fused around them, and rounded as ONNX defines."""

import numpy as np
import pytest
import torch
import tvm
from torch.nn import functional as F
from tvm import relay

from tests.test_schedules import run
from tvm_bench.backends.relay import passes, target
from tvm_bench.layer_diff import builds


def by_tvm(output, data):
    """What the operators answer by TVM's own schedules, one kernel each."""
    module = relay.transform.InferType()(tvm.IRModule.from_expr(output))
    return builds.runner(builds.unfused(module))({"data": data})[0]


@pytest.mark.parametrize("position", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("method", ["linear", "nearest_neighbor"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 21, 28, 28), (224, 224)),
        ((2, 5, 9, 14), (13, 7)),
        ((1, 3, 30, 17), (11, 40)),
        ((1, 1, 1, 5), (4, 10)),
        ((1, 2, 7, 9, 16), (14, 20)),
        ((2, 1, 14, 5, 8), (6, 5)),
    ],
)
def test_it_is_right_with_what_is_fused_around_it(shape, size, method, position):
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    layout = "NCHW" if len(shape) == 4 else f"NCHW{shape[-1]}c"
    resized = relay.image.resize2d(
        relay.nn.relu(relay.var("data", shape=shape)),
        size=size,
        layout=layout,
        method=method,
        coordinate_transformation_mode=position,
        rounding_method="round_prefer_floor" if position == "half_pixel" else "",
    )
    output = relay.nn.relu(resized - relay.const(0.5))
    result, kernels, _ = run(output, data)
    np.testing.assert_allclose(result, by_tvm(output, data), rtol=1e-5, atol=1e-5)
    assert kernels.count("resize") == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"method": "cubic"},
        {"layout": "NHWC"},
        {"coordinate_transformation_mode": "tf_crop_and_resize", "roi": (0.1, 0.2, 0.8, 1.2)},
    ],
)
def test_other_resizes_are_those_of_tvm(attributes):
    data = np.random.default_rng(0).standard_normal((1, 6, 7, 9)).astype(np.float32)
    output = relay.image.resize2d(relay.var("data", shape=data.shape), size=(9, 12), **attributes)
    module = tvm.IRModule.from_expr(output)
    answer = builds.runner(builds.by_project(module, target.resolve(None, 2)).library)({"data": data})[0]
    np.testing.assert_allclose(answer, by_tvm(output, data), rtol=1e-5, atol=1e-5)


def test_bytes_stay_bytes():
    data = np.random.default_rng(0).integers(0, 256, (1, 8, 6, 5)).astype(np.uint8)
    variable = relay.var("data", shape=data.shape, dtype="uint8")
    for method in ("linear", "nearest_neighbor"):
        output = relay.image.resize2d(variable, size=(12, 10), method=method, rounding_method="floor")
        np.testing.assert_array_equal(run(output, data)[0], by_tvm(output, data))


@pytest.mark.parametrize("zero", [0, 155])
@pytest.mark.parametrize("method", ["linear", "nearest_neighbor"])
def test_quantized_data_is_rounded_half_to_even(method, zero):
    """By the project's build and by the one for comparison, each bit; TVM's rule cuts off the fraction."""
    data = np.random.default_rng(0).integers(0, 256, (1, 16, 5, 7)).astype(np.uint8)
    scale = 0.25  # a power of two: float32 is exact
    parameters = relay.const(scale), relay.const(zero)
    steps = relay.qnn.dequantize(relay.var("data", shape=data.shape, dtype="uint8"), *parameters)
    position = "half_pixel" if method == "linear" else "asymmetric"
    resized = relay.image.resize2d(
        steps, size=(10, 14), method=method, coordinate_transformation_mode=position, rounding_method="floor"
    )
    output = relay.qnn.quantize(resized, *parameters, out_dtype="uint8")
    cpu = target.resolve(None, 2)
    module = passes.lower_quantization(tvm.IRModule.from_expr(output), cpu)
    source = torch.from_numpy(scale * (data.astype(np.float32) - zero))
    mode = {"mode": "bilinear", "align_corners": False} if method == "linear" else {"mode": "nearest"}
    expected = F.interpolate(source, size=(10, 14), **mode).numpy()
    expected = np.clip(np.round(expected / scale) + zero, 0, 255).astype(np.uint8)
    for library in (builds.by_project(module, cpu).library, builds.unfused(module)):
        np.testing.assert_array_equal(builds.runner(library)({"data": data})[0], expected)
