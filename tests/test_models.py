"""Variants of torchvision's architectures, and weights that record their architecture."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from tests.tiny import Tiny
from tvm_bench import data
from tvm_bench.compression import ptq
from tvm_bench.data import feeds
from tvm_bench.exporters import module_file
from tvm_bench.jobs.verbs import models
from tvm_bench.models import class_count, resolve, torchvision_models, weights
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import image_input
from tvm_bench.training import initial_model, loop
from tvm_bench.training.images import split
from tvm_bench.training.options import Options

CLASSES = tuple("abcdefghij")


def test_a_cifar_stem_keeps_the_picture(tmp_path):
    """3x3 and no pooling: layer 1 sees 32x32, not 8x8. A stored module is built again with the same stem."""
    model = resolve("resnet18-cifar", "random", classes=CLASSES)
    assert model.spec.shape == (3, 32, 32) and model.spec.resize == 32
    seen = []
    model.module.layer1.register_forward_hook(lambda module, given, made: seen.append(made.shape))
    images = torch.rand(1, 3, 32, 32)
    logits = model.module(images)
    assert seen == [(1, 64, 32, 32)] and logits.shape == (1, 10)
    path = tmp_path / "module.pt"
    module_file.save(
        model.module, path, model="resnet18-cifar", classes=10, precision="fp32", inputs=[image_input((3, 32, 32))]
    )
    assert torch.equal(module_file.load(path)(images), logits)


def test_variants_of_architectures_are_listed_and_told_apart():
    names = dict(models.run()["names"])
    assert "train it" in names["resnet50-cifar"] and "ImageNet" in names["resnet50-quantizable"]
    with pytest.raises(UserError, match="Did you mean resnet18-cifar"):
        torchvision_models.architecture("resnet18-cifer", 10)
    with pytest.raises(UserError, match="unknown model"):
        torchvision_models.architecture("vgg11-cifar", 10)
    with pytest.raises(UserError, match="its stem is not the usual one"):
        resolve("resnet18-cifar", "imagenet")


def test_weights_tell_what_they_were_trained_as(tmp_path):
    model = initial_model.begin("resnet18-cifar", "random", CLASSES, 24, 0)
    about = {"model": "resnet18-cifar", "spec": asdict(model.spec), "classes": CLASSES}
    path = tmp_path / "w.safetensors"
    weights.save_state_dict(model.module, path, about=about)
    found = resolve("resnet18-cifar", str(path), classes=("of", "other", "data"))
    assert found.spec == model.spec and found.spec.shape == (3, 24, 24) and found.classes == CLASSES
    assert resolve("resnet18-cifar", str(path), input_shape=(3, 48, 48)).spec == model.spec.at(48)
    with pytest.raises(UserError, match="trained as 'resnet18-cifar', do not fit"):
        resolve("resnet18", str(path))


def test_a_last_layer_for_other_classes_is_reinitialised(tmp_path, capsys):
    path = tmp_path / "w.pt"
    of_ten = torchvision_models.architecture("resnet18", 10, seed=1)
    torch.save(of_ten.state_dict(), path)
    of_three = initial_model.begin("resnet18", str(path), ("x", "y", "z"), 32, 0)
    assert "re-initialised for 3 classes" in capsys.readouterr().err
    assert torch.equal(of_three.module.conv1.weight, of_ten.conv1.weight)
    assert of_three.module.fc.weight.shape == (3, 512)
    assert torch.equal(initial_model.begin("resnet18", str(path), CLASSES, 32, 0).module.fc.weight, of_ten.fc.weight)
    with pytest.raises(UserError, match="do not fit ResNet.*conv1.weight"):
        initial_model.begin("resnet18-cifar", str(path), CLASSES, 32, 0)


def test_class_counts_that_do_not_fit():
    with pytest.raises(UserError, match="has 10 outputs and the data 2 classes"):
        initial_model.begin("tests.tiny:cnn", "random", ("a", "b"), None, 0)


def test_resnet50_is_fine_tuned_in_its_quantizable_form_and_quantized():
    """Trained, calibrated and tested on the same scaling, calibrated on training images; INT8 agrees with FP32."""
    model = initial_model.begin("resnet50-quantizable", "random", data.load("fashion-mnist", "test").classes, 32, 0)
    training = data.load("fashion-mnist", "calibration")
    options = Options(epochs=0.5, batch_size=32, lr=0.02)
    loop.fit(model.module, *split(training, model.spec), options)
    calibration = feeds.of_images(training, model.spec).batches(32, 128)
    quantized = ptq.quantize_static(model.module, calibration, model.inputs)
    images = next(data.load("fashion-mnist", "test").batches(model.spec, 32))
    assert images[:, 0].std() == pytest.approx(1, abs=0.35) and np.array_equal(images[:, 0], images[:, 2])
    with torch.inference_mode():
        logits = model.module(torch.from_numpy(images))
        error = (quantized(torch.from_numpy(images)) - logits).norm() / logits.norm()
    assert error < 0.2
    assert "Quantized" in repr(quantized) and Tiny.input_spec.mean == model.spec.mean


def test_embedded_weights_take_pictures_of_any_size():
    usual, small = (resolve("resnet18", input_shape=shape) for shape in (None, (3, 64, 96)))
    assert small.classes == usual.classes == data.fashion_mnist.CLASSES
    assert small.spec == replace(usual.spec, shape=(3, 64, 96), resize=64)
    assert weights.state_hash(small.module) == weights.state_hash(usual.module)
    assert class_count(small.module, small.spec.shape) == 10
