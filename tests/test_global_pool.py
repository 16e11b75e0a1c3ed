"""Global pooling in blocked layouts: right on odd sizes, with what is fused around it."""

import numpy as np
import pytest
import tvm
from tvm import relay

from tests.test_schedules import run
from tvm_bench.backends.relay import target
from tvm_bench.backends.relay.averages import AveragesAsPools
from tvm_bench.layer_diff import builds


@pytest.mark.parametrize("shape", [(1, 2, 7, 7, 16), (7, 3, 13, 17, 16), (1, 5, 1, 1, 8)])
@pytest.mark.parametrize("pool", [relay.nn.global_avg_pool2d, relay.nn.global_max_pool2d])
def test_it_is_right_and_sums_up_whole_vectors(pool, shape):
    data = np.random.default_rng(0).integers(-9, 256, shape).astype(np.float32)
    pooled = pool(relay.var("data", shape=shape), layout=f"NCHW{shape[-1]}c")
    result, _, assembly = run(relay.nn.relu(pooled), data)
    reduce = np.mean if pool is relay.nn.global_avg_pool2d else np.max
    np.testing.assert_allclose(result, np.maximum(reduce(data, axis=(2, 3), keepdims=True), 0), rtol=1e-6)
    assert "addss" not in assembly, "no channel is summed up by itself"


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axes", [(2, 3), (-1, -2)])
def test_a_mean_over_rows_and_columns_is_such_an_average(axes, keepdims):
    data = np.random.default_rng(0).random((2, 16, 97, 150)).astype(np.float32)
    module = tvm.IRModule.from_expr(relay.mean(relay.var("data", shape=data.shape), axes, keepdims=keepdims))
    build = builds.by_project(relay.transform.InferType()(module), target.resolve(None, 2))
    exact = data.mean(axis=axes, keepdims=keepdims, dtype=np.float64)
    np.testing.assert_allclose(builds.runner(build.library)({"data": data})[0], exact, rtol=1e-6)


@pytest.mark.parametrize("axes", [(1, 2), (3,), (1, 2, 3)])
def test_other_means_stay_as_they_are(axes):
    data = np.random.default_rng(0).random((2, 3, 5, 7)).astype(np.float32)
    module = tvm.IRModule.from_expr(relay.mean(relay.var("data", shape=data.shape), axes))
    module = relay.transform.InferType()(module)
    tvm.ir.assert_structural_equal(AveragesAsPools()(module), module)


@pytest.mark.parametrize(
    ("shape", "layout"), [((1, 2, 112, 112, 16), "NCHW16c"), ((1, 32, 112, 96), "NCHW"), ((1, 3, 40, 650), "NCHW")]
)
@pytest.mark.parametrize(
    "pool", [relay.nn.global_avg_pool2d, lambda data, layout: relay.nn.adaptive_avg_pool2d(data, (1, 1), layout=layout)]
)
def test_an_average_of_many_pixels_is_accurate(pool, shape, layout):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    exact = data.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(run(pool(relay.var("data", shape=shape), layout=layout), data)[0], exact, rtol=1e-6)
    one_sum = np.add.accumulate(data.reshape(*shape[:2], -1, *shape[4:]), axis=2)[:, :, -1] / (shape[2] * shape[3])
    assert np.abs(one_sum / exact.reshape(one_sum.shape) - 1).max() > 2e-6, "one sum over all pixels fails this check"


def test_other_sizes_types_and_layouts_are_right():
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (2, 2, 12, 12, 16)).astype(np.uint8)
    blocked = relay.cast(relay.var("data", shape=data.shape, dtype="uint8"), "float32")
    pooled = relay.nn.adaptive_avg_pool2d(blocked, (3, 2), layout="NCHW16c")
    expected = data.reshape(2, 2, 3, 4, 2, 6, 16).mean(axis=(3, 5))
    np.testing.assert_allclose(run(pooled, data)[0], expected, rtol=1e-6)
    data = random.standard_normal((2, 10, 9, 5)).astype(np.float32)
    pooled = relay.nn.global_avg_pool2d(relay.var("data", shape=data.shape))
    np.testing.assert_allclose(run(pooled, data)[0], data.mean(axis=(2, 3), keepdims=True), rtol=1e-4, atol=1e-6)
