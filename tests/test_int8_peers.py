"""INT8 of ncnn and MNN: the steps of an INT8 ONNX file, and what is computed with them."""

import importlib

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests import tiny
from tvm_bench import backends as runtimes
from tvm_bench.compression import ptq
from tvm_bench.exporters import onnx_file, qdq, qdq_steps
from tvm_bench.host import packages
from tvm_bench.spec import formats
from tvm_bench.spec.errors import Unavailable, UserError
from tvm_bench.spec.tensors import image_input

SHAPE = (3, 24, 24)
PEERS = ("ncnn", "mnn")


class Mixed(nn.Module):
    """Grouped and depthwise convolutions, ReLU6 that cuts, a pooling before a concatenation, averages, a sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.grouped = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.depthwise, self.wide = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(32, 24, 1)
        self.hidden, self.head = nn.Linear(24, 12), nn.Linear(12, 5)

    def forward(self, images):
        features = functional.relu6(8 * self.stem(images))
        summed = torch.relu(features + self.grouped(features))
        pooled = functional.max_pool2d(torch.relu(self.depthwise(summed)), 3, 2, 1)
        joined = self.wide(torch.cat([pooled, functional.max_pool2d(summed, 3, 2, 1)], 1))
        return self.head(functional.hardswish(self.hidden(joined.mean((2, 3)))))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((8, 1, *SHAPE)).astype(np.float32)


def exported(module, path):
    onnx_file.save_from_module(module, path, [image_input(SHAPE)])
    return path


def quantized(module, folder, images, **options):
    """The FP32 and the INT8 ONNX file of a module."""
    floats, integers = exported(module, folder / "floats.onnx"), folder / "integers.onnx"
    qdq.quantize(floats, integers, [(image,) for image in images], vnni=True, **options)
    return floats, integers


def answers(model, images):
    content = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = onnxruntime.InferenceSession(content)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: image})[0] for image in images])


def converted(peer, source, folder):
    """The INT8 file of a peer, and how it runs."""
    try:
        packages.need(formats.FORMATS[peer, "int8"].packages)
    except Unavailable as error:
        pytest.skip(str(error))
    path = folder / f"integers{formats.SUFFIXES[peer]}"
    importlib.import_module(f"tvm_bench.exporters.{peer}_file").convert_int8(source, path)
    run = runtimes.load(peer, path, threads=1)
    return path, lambda images: np.stack([run((image,))[0] for image in images])


def distance(found, right):
    return np.linalg.norm(found - right) / np.linalg.norm(right)


def test_floats_have_the_activations_again_and_the_names(images, tmp_path):
    torch.manual_seed(0)
    floats, integers = quantized(Mixed().eval(), tmp_path, images)
    model, layers = qdq_steps.floats_of(onnx.load(integers))
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert "Relu" not in {node.op_type for node in onnx.load(integers).graph.node}
    assert kinds.count("Relu") == 2 and kinds.count("Clip") == 1 and "QuantizeLinear" not in kinds
    assert [value.name for value in model.graph.output] == [value.name for value in onnx.load(floats).graph.output]
    assert 0 < distance(answers(model, images), answers(floats, images)) < 0.02
    assert len(layers) == 6 and [layer.dense for layer in layers] == [False] * 4 + [True] * 2
    assert all(layer.of_weights.scale.shape == (layer.channels,) for layer in layers)
    clipped = layers[0]
    assert clipped.activated != clipped.output and clipped.after.bound == pytest.approx(6)


@pytest.mark.parametrize("options", [{"per_channel": False}, {"excluded": ("/block/block.0/Conv",)}])
@pytest.mark.parametrize("peer", PEERS)
def test_recipes(peer, options, images, tmp_path):
    torch.manual_seed(0)
    floats, integers = quantized(tiny.cnn().eval(), tmp_path, images, **options)
    assert len(qdq_steps.floats_of(onnx.load(integers))[1]) == (2 if "excluded" in options else 3)
    assert 0 < distance(converted(peer, integers, tmp_path)[1](images), answers(floats, images)) < 0.05


@pytest.mark.parametrize("peer", PEERS)
def test_quantized_modules(peer, images, tmp_path):
    torch.manual_seed(0)
    module = tiny.cnn().eval()
    floats = exported(module, tmp_path / "floats.onnx")
    observed = ptq.quantize_static(module, [(image,) for image in images], (image_input(SHAPE),), observer="minmax")
    integers = exported(observed, tmp_path / "integers.onnx")
    assert len(qdq_steps.floats_of(onnx.load(integers))[1]) == 3
    assert 0 < distance(converted(peer, integers, tmp_path)[1](images), answers(floats, images)) < 0.05


@pytest.mark.parametrize("peer", PEERS)
def test_answers(peer, images, tmp_path):
    torch.manual_seed(0)
    floats, integers = quantized(Mixed().eval(), tmp_path, images)
    _, run = converted(peer, integers, tmp_path)
    right = answers(floats, images)
    assert 0 < distance(run(images), right) < 2 * distance(answers(integers, images), right)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Identity()])
@pytest.mark.parametrize("peer", PEERS)
def test_maxima(peer, activation, images, tmp_path):
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 16, 3), activation, nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 8, 1))
    floats, integers = quantized(nn.Sequential(*layers).eval(), tmp_path, images)
    assert 0 < distance(converted(peer, integers, tmp_path)[1](images), answers(floats, images)) < 0.05


@pytest.mark.parametrize("peer", PEERS)
def test_weights_are_stored_as_integers(peer, images, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))
    floats, integers = quantized(module.eval(), tmp_path, images)
    path, _ = converted(peer, integers, tmp_path)
    assert sum(file.stat().st_size for file in formats.files(path)) < 0.35 * floats.stat().st_size


def test_ncnn_does_not_overflow(tmp_path):
    """The largest integers everywhere: with 8 bits of both, sums of Winograd's larger tiles exceed 32 bits."""
    module = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, padding=1))
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    images = np.ones((2, 1, *SHAPE), np.float32)
    floats, integers = quantized(module.eval(), tmp_path, images)
    assert distance(converted("ncnn", integers, tmp_path)[1](images), answers(floats, images)) < 0.02


def test_ncnn_refuses_weights_that_are_not_in_the_onnx_file(images, tmp_path):
    from tvm_bench.exporters import ncnn_int8

    torch.manual_seed(0)
    _, integers = quantized(tiny.cnn().eval(), tmp_path, images)
    path, _ = converted("ncnn", integers, tmp_path)
    weights = path.with_suffix(".bin")
    weights.write_bytes(bytes(len(weights.read_bytes())))
    with pytest.raises(UserError, match="other weights than the ONNX file. Give other --backends"):
        ncnn_int8.quantize(path, weights, *qdq_steps.floats_of(onnx.load(integers)))
