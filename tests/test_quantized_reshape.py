"""Reshapes of data whose channels are quantized on grids of their own: each channel keeps its grid."""

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from tvm import relay

from tests.test_schedules import run
from tvm_bench.backends.relay import frontend, passes, target
from tvm_bench.exporters import onnx_file, qdq
from tvm_bench.layer_diff.severed_onnx import OnnxSource
from tvm_bench.spec.tensors import TensorSpec

RESHAPES = {
    "split": (lambda x: relay.reshape(x, (2, 3, 2, 2, 4)), lambda x: x.reshape(2, 3, 2, 2, 4)),
    "transpose": (lambda x: relay.transpose(x, (2, 3, 0, 1)), lambda x: x.transpose(2, 3, 0, 1)),
    "reverse": (relay.transpose, np.transpose),
    "expand": (lambda x: relay.expand_dims(x, 0, 2), lambda x: x[None, None]),
    "mixed": (lambda x: relay.reshape(x, (2, 48)), lambda x: x.reshape(2, 48)),
    "flat": (relay.nn.batch_flatten, lambda x: x.reshape(2, 48)),
}


@pytest.mark.parametrize("name", RESHAPES)
def test_each_channel_keeps_its_grid(name):
    reshape, expected = RESHAPES[name]
    data = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4)).astype(np.uint8)
    scales, zeros = np.array([0.1, 0.02, 0.3], np.float32), np.zeros(3, np.int32)
    variable = relay.var("data", shape=data.shape, dtype="uint8")
    floats = relay.qnn.op.dequantize(variable, relay.const(scales), relay.const(zeros), axis=1)
    output = relay.qnn.op.quantize(reshape(floats), relay.const(np.float32(0.25)), relay.const(7), out_dtype="uint8")
    module = passes.lower_quantization(tvm.IRModule.from_expr(output), target.resolve(None, 2))
    result, *_ = run(module["main"].body, data)
    steps = np.round(expected(data * scales.reshape(-1, 1, 1) / np.float32(0.25))) + 7
    assert np.abs(result - np.clip(steps, 0, 255)).max() <= 1, "a product of two floats may be a tie"
    assert (result == np.clip(steps, 0, 255)).mean() > 0.95


class Unbiased(nn.Module):
    """A linear layer without bias, as in Swin Transformers: a MatMul in ONNX."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 24, bias=False)
        self.layer.weight.data *= torch.logspace(-1, 1, 24)[:, None]

    def forward(self, data):
        return self.layer(data)


@pytest.mark.parametrize("shape", [(3, 16), (1, 5, 7, 16)])
def test_a_product_without_bias_is_right(shape, tmp_path):
    torch.manual_seed(0)
    inputs, path = [TensorSpec("data", shape)], tmp_path / "layer.onnx"
    batches = [(np.random.default_rng(i).standard_normal(shape).astype(np.float32),) for i in range(4)]
    onnx_file.save_from_module(Unbiased().eval(), path, inputs)
    qdq.quantize(path, tmp_path / "int8.onnx", batches, vnni=True)
    source = OnnxSource.of(tmp_path / "int8.onnx")
    (right,) = source.run([{source.inputs[0]: batches[0][0]}])
    module = frontend.relay_from_file(tmp_path / "int8.onnx", inputs)
    lowered = passes.lower_quantization(module, target.resolve(None, 2))
    result, *_ = run(lowered["main"].body, batches[0][0])
    step = np.ptp(right) / 255
    assert np.abs(result - right).max() < 1.5 * step and (np.abs(result - right) > step / 2).mean() < 0.01
