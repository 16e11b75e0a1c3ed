"""Networks whose channels do not divide into blocks: right answers, computed in whole blocks."""

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional as F
from tvm import relay

from tvm_bench.backends.relay import padded_channels, target
from tvm_bench.backends.relay.schedules import conv_workload
from tvm_bench.exporters import onnx_file, qdq, torchscript
from tvm_bench.layer_diff import builds
from tvm_bench.spec.tensors import TensorSpec

SHAPE = (2, 3, 12, 12)
INPUTS = [TensorSpec("image", SHAPE)]


class Awkward(nn.Module):
    """Channels of 10, 21, 58 and 122; what comes between: gates, joins, pools, and a division."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 58, 3, padding=1), nn.BatchNorm2d(58), nn.Hardswish())
        self.depthwise = nn.Conv2d(58, 58, 3, padding=1, groups=58)
        self.narrow, self.widen = nn.Conv2d(58, 10, 1), nn.Conv2d(10, 58, 1)
        self.joined = nn.Sequential(nn.Conv2d(58, 122, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(122, 122, 3))
        self.grouped = nn.Conv2d(122, 122, 3, padding=1, groups=2)
        self.head = nn.Conv2d(122, 21, 1)

    def forward(self, image):
        x = self.stem(image)
        gate = torch.sigmoid(self.widen(F.relu(self.narrow(F.adaptive_avg_pool2d(x, 1)))))
        x = self.joined(self.depthwise(x) * gate + x)
        y = self.grouped(x)
        y = torch.cat([y.chunk(2, 1)[1], x], 1)[:, 20:142]
        scores = self.head(F.avg_pool2d(F.pad(y, (1, 1, 0, 0)), 2))
        return scores / (1 + scores.abs()), scores.mean(1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = Awkward().eval()
    nn.init.uniform_(module.stem[1].running_mean)
    return module


def convolutions(library):
    return [str(kernel.convolution) for kernel in library.kernels.values() if kernel.convolution]


@pytest.mark.parametrize("source", ["onnx", "torchscript"])
def test_the_answers_are_those_of_pytorch(network, source, tmp_path):
    path = tmp_path / ("model.onnx" if source == "onnx" else "model.pt")
    (onnx_file.save_from_module if source == "onnx" else torchscript.save_traced)(network, path, INPUTS)
    cpu = target.resolve(None, 1)
    build = builds.by_project(builds.lowered(path, INPUTS, cpu), cpu)
    image = torch.randn(SHAPE)
    with torch.inference_mode():
        right = network(image)
    results = builds.runner(build.library)({"image": image.numpy()})
    for result, tensor in zip(results, right, strict=True):
        np.testing.assert_allclose(result, tensor, atol=1e-5)
    found = " ".join(convolutions(build))
    assert "3->64" in found and "64->128" in found and "128->128" in found and "122->24" in found
    assert "groups 64" in found and "groups 2" in found and "58->" not in found


def test_int8_is_that_of_relay_before(network, tmp_path):
    onnx_file.save_from_module(network, tmp_path / "model.onnx", INPUTS)
    samples = [(np.random.default_rng(i).standard_normal(SHAPE, np.float32),) for i in range(4)]
    qdq.quantize(tmp_path / "model.onnx", tmp_path / "int8.onnx", iter(samples), vnni=True)
    cpu = target.resolve(None, 1)
    module = builds.lowered(tmp_path / "int8.onnx", INPUTS, cpu)
    build = builds.by_project(module, cpu)
    arrays = {"image": samples[0][0]}
    results, expected = (builds.runner(library)(arrays) for library in (build.library, builds.unfused(module)))
    np.testing.assert_allclose(results[0], expected[0], atol=1e-5)
    assert np.ptp(expected[0]) > 0.1
    assert any("->128" in text for text in convolutions(build))


@pytest.mark.parametrize(("channels", "count"), [(4, 4), (8, 8), (10, 16), (21, 24), (58, 64), (122, 128), (255, 256)])
def test_little_is_wasted(channels, count):
    assert padded_channels.padded_count(channels) == count


def test_a_channel_of_zeros_never_divides():
    x = relay.var("x", shape=(1, 16, 4, 4))
    out = relay.nn.conv2d(x, relay.const(np.ones((10, 16, 1, 1), "float32")), channels=10, kernel_size=(1, 1))
    module = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([x], relay.const(1.0) / out)))
    padded = relay.transform.InferType()(tvm.transform.Sequential([padded_channels.PaddedChannels()])(module))
    body = padded["main"].body
    assert body.op.name == "divide" and body.args[1].op.name == "strided_slice"
    assert conv_workload.of(body.args[1].args[0].attrs, x.type_annotation, None).kernel[0] == 16
