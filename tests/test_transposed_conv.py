"""Transposed convolutions: right on odd sizes, and computed by a convolution."""

import numpy as np
import pytest
import torch
import tvm
from torch.nn import functional as F
from tvm import relay

from tvm_bench.backends.relay import target
from tvm_bench.layer_diff import builds


@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "stride", "padding", "extra"),
    [
        ((1, 16, 7, 9), 32, (2, 2), (2, 2), (0, 0), (0, 0)),
        ((2, 8, 5, 6), 16, (4, 4), (2, 2), (1, 1), (0, 0)),
        ((1, 3, 6, 5), 5, (3, 3), (2, 2), (1, 1), (1, 1)),
        ((1, 8, 4, 7), 8, (3, 5), (1, 3), (0, 2), (0, 1)),
        ((1, 8, 4, 4), 8, (2, 2), (3, 3), (0, 0), (1, 0)),
        ((1, 8, 5, 5), 8, (2, 2), (2, 2), (0, 0), (1, 1)),
    ],
)
def test_it_is_right_on_odd_sizes(shape, outputs, kernel, stride, padding, extra):
    random = np.random.default_rng(0)
    data = random.integers(-9, 9, shape).astype(np.float32)
    weight = random.integers(-9, 9, (shape[1], outputs, *kernel)).astype(np.float32)
    output = relay.nn.conv2d_transpose(
        relay.var("data", shape=shape),
        relay.const(weight),
        strides=stride,
        padding=padding,
        output_padding=extra,
        channels=outputs,
        kernel_size=kernel,
    )
    tensors = (torch.from_numpy(array) for array in (data, weight))
    exact = F.conv_transpose2d(*tensors, stride=stride, padding=padding, output_padding=extra).numpy()
    module = relay.transform.InferType()(tvm.IRModule.from_expr(output + relay.const(1.0)))
    compiled = builds.by_project(module, target.resolve(None, 2))
    np.testing.assert_array_equal(builds.runner(compiled.library)({"data": data})[0], exact + 1)
    longer = kernel == stride and max(extra) > 0  # outputs that no kernel position reaches
    assert any("conv2d_transpose" in name for name in compiled.kernels) == longer
