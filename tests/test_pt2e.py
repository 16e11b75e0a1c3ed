"""INT8 by torchao's PT2E, of a module that FX cannot quantize: an ONNX file of integers, and a program for Inductor."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional
from tvm.contrib import graph_executor

from tests.tiny import Tiny
from tvm_bench.backends.relay import compiler, frontend, passes, target
from tvm_bench.compression import pt2e, ptq
from tvm_bench.exporters import pt2e_file
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import image_input

INPUTS = [image_input((3, 32, 32), 16)]


class Functional(Tiny):
    """Calls its convolutions as functions, and branches on a shape: torch.ao can quantize neither."""

    def forward(self, images):
        if images.shape[-1] > 16:
            images = functional.avg_pool2d(images, 2)
        features = functional.relu(functional.conv2d(images, self.stem[0].weight, stride=2, padding=1))
        return self.head(self.pool(features + functional.conv2d(features, self.block[0].weight, padding=1)).flatten(1))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(1)
    return Functional().eval()


@pytest.fixture(scope="module")
def images():
    # With a mean of its own in each channel, which pooling keeps.
    rng = np.random.default_rng(0)
    return rng.normal(rng.normal(0, 2, (16, 3, 1, 1)), 1, (16, 3, 32, 32)).astype(np.float32)


def noise(answers, expected):
    return np.square(answers - expected).mean() / np.square(expected - expected.mean(0)).mean()


def test_torch_ao_cannot_quantize_it(module, images):
    with pytest.raises(UserError, match=r"Give --frontend onnx|cannot be quantized"):
        ptq.quantize_static(module, [(images,)], [image_input((3, 32, 32))])


def test_the_onnx_file_has_integers_only(module, images, tmp_path):
    quantized = pt2e.quantize(module, [(images,)], INPUTS, pairs=True)
    with torch.no_grad():
        simulated, expected = quantized(torch.from_numpy(images)).numpy(), module(torch.from_numpy(images)).numpy()
    path, options = tmp_path / "int8.onnx", onnxruntime.SessionOptions()
    pt2e_file.save_onnx(quantized, path, INPUTS)
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    answers = onnxruntime.InferenceSession(path, options).run(None, {"input": images})[0]
    assert 0 < noise(answers, expected) < 0.01 and noise(answers, simulated) < 0.001
    stored = {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4}
    assert stored == {onnx.TensorProto.INT8}
    operators = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert {"QLinearConv", "QLinearAdd"} <= operators and not {"Conv", "Add"} & operators


def test_relay_answers_as_onnx_runtime(module, images, tmp_path):
    path, cpu = tmp_path / "int8.onnx", target.resolve(None, 1)
    pt2e_file.save_onnx(pt2e.quantize(module, [(images,)], INPUTS, pairs=True), path, INPUTS)
    lowered = passes.lower_quantization(frontend.relay_from_file(path, INPUTS), cpu)
    executor = graph_executor.GraphModule(
        compiler.compiled(lowered, cpu, compiler.Schedules()).library["default"](tvm.cpu())
    )
    executor.run(input=images)
    answers = onnxruntime.InferenceSession(path).run(None, {"input": images})[0]
    assert noise(executor.get_output(0).numpy(), answers) < 0.001
    assert 'out_dtype="int32"' in str(lowered) and "qnn." not in str(lowered), "it computes in floats"


def test_the_program_answers_as_it_did(module, images, tmp_path):
    quantized = pt2e.quantize(module, [(images,)], INPUTS)
    pt2e_file.save_program(quantized, tmp_path / "int8.pt2", INPUTS)
    with torch.no_grad():
        again = pt2e_file.load_program(tmp_path / "int8.pt2")(torch.from_numpy(images))
        assert torch.equal(again, quantized(torch.from_numpy(images)))
        assert 0 < noise(again.numpy(), module(torch.from_numpy(images)).numpy()) < 0.01


def test_a_module_that_depends_on_values_is_refused(images):
    class Branching(nn.Module):
        def forward(self, data):
            return data if data.sum() > 0 else -data

    with pytest.raises(UserError, match="cannot be exported for int8-pt2e"):
        pt2e.quantize(Branching(), [(images,)], INPUTS)
