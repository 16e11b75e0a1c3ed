"""Dilated convolutions: right on odd sizes, and computed without dilation where that is faster."""

import numpy as np
import pytest
import torch
import tvm
from torch.nn import functional as F
from tvm import relay

from tvm_bench.backends.relay import passes, target
from tvm_bench.layer_diff import builds

BY_IMAGE, BY_POSITION, AS_IT_IS = "pixels as images", "kernel positions one by one", "dilated"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "dilation", "padding", "kind"),
    [
        ((1, 16, 12, 12), 32, (3, 3), (2, 2), (2, 2, 2, 2), BY_IMAGE),
        ((2, 16, 11, 13), 16, (3, 3), (2, 2), (2, 2, 2, 2), BY_IMAGE),
        ((1, 5, 13, 9), 7, (3, 2), (3, 1), (1, 0, 4, 2), BY_IMAGE),
        ((1, 16, 9, 9), 16, (3, 3), (2, 2), (0, 0, 0, 0), AS_IT_IS),
        ((1, 16, 9, 7), 16, (3, 3), (5, 4), (5, 4, 5, 4), BY_POSITION),
        ((1, 16, 8, 8), 16, (5, 3), (6, 7), (12, 7, 12, 7), BY_POSITION),
        ((1, 16, 14, 14), 32, (3, 3), (18, 18), (18, 18, 18, 18), BY_POSITION),  # only the centre reads data
    ],
)
def test_it_is_right_on_odd_sizes(precision, shape, outputs, kernel, dilation, padding, kind):
    random = np.random.default_rng(0)
    types = ("uint8", "int8", "int32") if precision == "int8" else ("float32",) * 3
    data = random.integers(0, 200, shape).astype(types[0])
    weight = random.integers(-9, 9, (outputs, shape[1], *kernel)).astype(types[1])
    sizes = {"dilation": dilation, "padding": padding, "channels": outputs, "kernel_size": kernel}
    variable = relay.var("data", shape=shape, dtype=types[0])
    output = relay.nn.conv2d(variable, relay.const(weight), **sizes, out_dtype=types[2])
    top, left, bottom, right = padding
    padded = F.pad(torch.from_numpy(data).double(), (left, right, top, bottom))
    exact = F.conv2d(padded, torch.from_numpy(weight).double(), dilation=dilation).numpy()
    cpu = target.resolve(None, 2)
    module = passes.lower_quantization(tvm.IRModule.from_expr(output + relay.const(1, types[2])), cpu)
    compiled = builds.by_project(module, cpu)
    off = np.abs(builds.runner(compiled.library)({"data": data})[0] - (exact + 1)).max()
    assert off == 0 if precision == "int8" else off < 1e-5 * np.abs(exact).max()  # Winograd rounds
    text = compiled.module.astext(show_meta_data=False)
    assert ("dilation=" in text) == (kind == AS_IT_IS)
    assert ("kernel_size=[1, 1]" in text) == (kind == BY_POSITION)
