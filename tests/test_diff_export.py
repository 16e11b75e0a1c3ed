"""`diff` from PyTorch to ONNX: faults of an exported file are found at the right modules, and none in right files."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tests.conftest import TINY
from tvm_bench.compression import pt2e, ptq
from tvm_bench.exporters import onnx_file, pt2e_file
from tvm_bench.layer_diff import exported
from tvm_bench.layer_diff.severed_onnx import OnnxSource
from tvm_bench.spec.tensors import image_input

INPUTS = [image_input((3, 12, 12))]


def block(before, after, size, groups=1):
    convolution = nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU6(inplace=True), nn.Dropout())


class Network(nn.Module):
    """A depthwise convolution, a sum in place, a concatenation, means with ties, and one ReLU that is called twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise, self.left = block(3, 8, 3), block(8, 8, 3, groups=8), block(8, 8, 1)
        self.project = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.relu, self.pool, self.head = nn.ReLU(), nn.AvgPool2d(2), nn.Linear(16, 5)

    def forward(self, images):
        features = self.relu(self.stem(images))
        total = self.project(self.depthwise(features))
        total += features
        return self.head(self.pool(torch.cat([self.left(total), self.relu(total)], 1)).mean((2, 3)))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 1, 3, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def network(images):
    torch.manual_seed(0)
    module = Network()
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.weight.data.uniform_(1, 3)
        norm.bias.data.uniform_(0, 3)
    module(torch.from_numpy(np.concatenate(images)))  # fills the batch norms
    return module.eval()


def in_fp32(module, images, path):
    onnx_file.save_from_module(module, path, INPUTS)
    return module


def in_int8(module, images, path):
    return in_fp32(ptq.quantize_static(module, [(image,) for image in images], INPUTS), images, path)


def by_pt2e(module, images, path):
    batches = [(image,) for image in images]
    pt2e_file.save_onnx(pt2e.quantize(module, batches, INPUTS, pairs=True), path, INPUTS)
    return pt2e_file.with_fake_quantization(pt2e.quantize(module, batches, INPUTS, pairs=True))


@pytest.fixture(scope="module", params=[in_fp32, in_int8, by_pt2e], ids=lambda export: export.__name__)
def export(request, network, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "exported.onnx"
    return request.param, request.param(network, images, path), path


def compared(module, path, images, folder):
    return exported.compared(module, path, [{"input": image} for image in images[:2]], folder)


LAYERS = {  # PT2E has no modules: the names are those of nodes
    in_fp32: ["stem.0", "stem.2", "depthwise.0", "project.0", "/Add", "left.0", "left.2", "relu", "/Concat", "head"],
    in_int8: ["stem.0", "stem.2", "depthwise.0", "project.0", "/Add", "left.0", "left.2", "/Relu", "head"],
    by_pt2e: ["/Conv", "/Relu", "/Conv_1", "/Conv_2", "/Add", "/Conv_3", "/Relu_1", "/Gemm"],
}


def test_a_right_file_has_no_wrong_layer(export, images, tmp_path):
    by, module, path = export
    rows, faults = compared(module, path, images, tmp_path)
    assert not faults and not [row for row in rows if row.wrong]
    assert set(LAYERS[by]) <= {row.name for row in rows}, [row.name for row in rows]
    assert not list(tmp_path.iterdir())


# Faults of an export, each planted in a copy of the file: what is changed, and the layer that must be named.


def node_of(model, name):
    return next(node for node in model.graph.node if node.name == name)


def change_constant(model, name, edit):
    """Change an initializer, or the value of a Constant."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    tensors[name].CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensors[name])), name))


def one_weight(model, node):
    node = node_of(model, node)

    def edit(values):
        wrong = values.copy()
        wrong.flat[3] = values.max() if values.flat[3] <= 0 else values.min()
        return wrong

    change_constant(model, node.input[1 if node.op_type == "Conv" else 0], edit)


def limit(model, node):
    change_constant(model, node_of(model, node).input[2], lambda value: value * np.float32(0.5))


def padding(model, node, pads=(2, 2, 0, 0)):
    attributes = {attribute.name: attribute for attribute in node_of(model, node).attribute}
    attributes["pads"].ints[:] = pads


def no_padding(model, node):
    padding(model, node, (0, 0, 0, 0))


def scale(model, node):
    """That of one node only: the exporter lets nodes of equal scales share a constant."""
    node = node_of(model, node)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    values |= {row.output[0]: row.attribute[0].t for row in model.graph.node if row.op_type == "Constant"}
    wrong = numpy_helper.to_array(values[node.input[1]]) * np.float32(1.05)
    model.graph.initializer.append(numpy_helper.from_array(wrong, "wrong_scale"))
    node.input[1] = "wrong_scale"


def other_operand(model, node):
    """The sum of one tensor with itself."""
    node = node_of(model, node)
    node.input[1] = node.input[0]


FAULTS = {
    in_fp32: [
        (one_weight, "/stem/stem.0/Conv", "stem.0"),
        (one_weight, "/project/project.0/Conv", "project.0"),
        (limit, "/left/left.2/Clip", "left.2"),
        (padding, "/depthwise/depthwise.0/Conv", "depthwise.0"),
        (no_padding, "/stem/stem.0/Conv", "stem.0"),
        (other_operand, "/Add", "/Add"),
        (other_operand, "/Concat", "/Concat"),
    ],
    in_int8: [
        (one_weight, "/0_1/DequantizeLinear_1", "depthwise.0"),
        (limit, "/2_2/Clip", "left.2"),
        (padding, "/0/Conv", "stem.0"),
        (no_padding, "/0_1/Conv", "depthwise.0"),
        (other_operand, "/Add", "/Add"),
        (scale, "/0_2/QuantizeLinear", "project.0"),
    ],
    by_pt2e: [
        (one_weight, "/DequantizeLinear_2", "/Conv_2"),
        (limit, "/Clip_1", "/Conv_1"),
        (padding, "/Conv", "/Conv"),
        (other_operand, "/Add", "/Add"),
        (scale, "/quantize_per_tensor_default_3/QuantizeLinear", "/Conv_1"),
    ],
}


def test_a_fault_is_found_at_its_layer(export, images, tmp_path):
    by, module, path = export
    for number, (plant, node, layer) in enumerate(FAULTS[by]):
        model = onnx.load(path)
        plant(model, node)
        folder = tmp_path / str(number)
        onnx.save(model, tmp_path / "wrong.onnx")
        _, (fault,) = compared(module, tmp_path / "wrong.onnx", images, folder)
        assert fault.layer == layer and fault.stage == exported.EXPORT, (plant.__name__, fault)
        file, arrays = fault.files
        values = np.load(arrays)
        source = OnnxSource.of(file)
        (output,) = source.run([{name: values[name] for name in source.inputs}])
        np.testing.assert_array_equal(output, values["onnx"])
        assert output.shape != values["expected"].shape or np.abs(output - values["expected"]).max() > 1e-3


@pytest.mark.parametrize(("recipe", "layer"), [((), "head"), (("--recipe", "int8-pt2e"), "/Gemm")], ids=["own", "pt2e"])
def test_the_command_compares_the_export(recipe, layer, built, cli):
    options = ("--data", "fashion-mnist", "--precision", "int8", "--frontend", "onnx", "--images", 1, "--threads", 1)
    done = cli("diff", "--model", TINY, *options, *recipe, "--artifacts", built.parent)
    assert done.returncode == 0, done.stderr
    assert "PyTorch to ONNX: All" in done.stdout
    (found,) = json.loads(cli("diff", "--model", TINY, *options, *recipe, "--artifacts", built.parent, "--json").stdout)
    assert found["layers"] and not found["faults"] and found["page"] == done.stdout.split()[-1]
    page = Path(done.stdout.split()[-1]).read_text()
    assert f"| {layer} | Gemm" in page.partition("Layers from PyTorch to ONNX:")[2]
