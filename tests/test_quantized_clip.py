"""Clips of quantized data have the limits that the quantized result has, and build where a limit exceeds the type."""

import re

import numpy as np
import pytest
import tvm
from tvm import relay

from tests.test_schedules import run
from tvm_bench.backends.relay import passes, target


@pytest.mark.parametrize(
    ("scale", "zero"),
    [
        (6 / 2886, 0),  # the upper limit does not fit uint8
        (6 / 254.6, 0),  # 6 is the step 255, not 254
        (0.05, 128),
        (-1.0, None),  # scales per channel: TVM's rule
    ],
)
def test_the_result_is_that_of_the_float_operators(scale, zero):
    data = np.arange(256, dtype=np.uint8).reshape(1, 4, 8, 8)
    axis = {"axis": 1} if zero is None else {}
    scales = np.array([0.1, 0.05, 0.2, 0.03] if zero is None else scale, np.float32)
    zeros = np.zeros(4, np.int32) if zero is None else np.int32(zero)
    parameters = relay.const(scales), relay.const(zeros)
    variable = relay.var("data", shape=data.shape, dtype="uint8")
    clipped = relay.clip(relay.qnn.op.dequantize(variable, *parameters, **axis), 0.0, 6.0)
    output = relay.qnn.op.quantize(clipped, *parameters, out_dtype="uint8", **axis)
    module = passes.lower_quantization(tvm.IRModule.from_expr(output), target.resolve(None, 2))
    result, *_ = run(module["main"].body, data)
    by_channel = (scales.reshape(-1, 1, 1), zeros.reshape(-1, 1, 1)) if zero is None else (scales, zeros)
    steps = np.clip((data - by_channel[1].astype(np.float32)) * by_channel[0], 0, 6) / by_channel[0]
    np.testing.assert_array_equal(result, np.clip(np.round(steps) + by_channel[1], 0, 255))
    text = str(module["main"].body)
    assert "float32" not in text, "integers only"
    limits = [float(limit) for limit in re.findall(r"a_max=([\d.]+)f", text)]
    assert all(limit <= 255 for limit in limits), "TVM makes constants of uint8 of them"
