"""Transposed convolutions: right on odd sizes, and computed by a convolution."""

import numpy as np
import pytest
import torch
import tvm
from torch.nn import functional as F
from tvm import relay

from tvm_bench.backends.relay import passes, target
from tvm_bench.layer_diff import builds

ZERO = 3


@pytest.mark.parametrize("precision", ["fp32", "int8"])
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
def test_it_is_right_on_odd_sizes(precision, shape, outputs, kernel, stride, padding, extra):
    random, zero = np.random.default_rng(0), ZERO if precision == "int8" else 0
    types = ("uint8", "int8") if precision == "int8" else ("float32", "float32")
    data = random.integers(0, 200, shape).astype(types[0])
    weight = random.integers(-9, 9, (shape[1], outputs, *kernel)).astype(types[1])
    sizes = {"strides": stride, "padding": padding, "output_padding": extra}
    sizes |= {"channels": outputs, "kernel_size": kernel}
    arguments = relay.var("data", shape=shape, dtype=types[0]), relay.const(weight)
    if precision == "int8":
        parameters = relay.const(zero), relay.const(0), relay.const(0.1), relay.const(0.1)
        output = relay.qnn.op.conv2d_transpose(*arguments, *parameters, **sizes, out_dtype="int32")
    else:
        output = relay.nn.conv2d_transpose(*arguments, **sizes)
    tensors = torch.from_numpy(data).double() - zero, torch.from_numpy(weight).double()
    exact = F.conv_transpose2d(*tensors, stride=stride, padding=padding, output_padding=extra).numpy()
    cpu = target.resolve(None, 2)
    one = relay.const(1, "int32" if precision == "int8" else "float32")
    module = passes.lower_quantization(tvm.IRModule.from_expr(output + one), cpu)
    compiled = builds.by_project(module, cpu)
    np.testing.assert_array_equal(builds.runner(compiled.library)({"data": data})[0], exact + 1)
    longer = kernel == stride and max(extra) > 0  # outputs that no kernel position reaches
    assert any("conv2d_transpose" in name for name in compiled.kernels) == longer
