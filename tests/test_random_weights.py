"""`--weights random`: networks that tell images apart, the same ones each time."""

import numpy as np
import pytest
import torch
from torch import nn

from tvm_bench import data
from tvm_bench.data import feeds
from tvm_bench.exporters import module_file
from tvm_bench.jobs.verbs import prepare
from tvm_bench.measure.metrics import distances
from tvm_bench.models import random_weights, resolve
from tvm_bench.models.weights import state_hash
from tvm_bench.spec.tensors import image_input, to_json
from tvm_bench.spec.variant import ModelSpec

SIZE = (3, 64, 64)
CLASSES = data.load("fashion-mnist", "test").classes


def images(spec, split="calibration"):
    images = feeds.of_images(data.load("fashion-mnist", split), spec)
    return images.batches(random_weights.BATCH, random_weights.IMAGES)


def scores(module, spec):
    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(batch)).numpy() for (batch,) in images(spec, "test")])


def prepared(path, model, data_set="fashion-mnist"):
    """What the job `prepare` writes for `--weights random`, read again."""
    model_spec = ModelSpec(model, "random", SIZE, data_set).request()
    spec = resolve(model, "random", input_shape=SIZE, classes=CLASSES).spec
    description = {"spec": vars(spec), "classes": CLASSES, "outputs_count": len(CLASSES)}
    description["model_inputs"] = to_json([image_input(spec.shape)])
    prepare.run("module", "fp32", None, str(path), model_spec, description, 1)
    return module_file.load(path), spec


@pytest.mark.parametrize("model", ["shufflenet_v2_x1_0", "squeezenet1_1"])
def test_random_weights_tell_images_apart(model, tmp_path):
    """Without batch norm and with a convolution as last layer too."""
    module, spec = prepared(tmp_path / "module.pt", model)
    answers = scores(module, spec)
    assert len(set(answers.argmax(axis=1))) > 1
    assert distances(answers, answers)["spread"] > 0.1
    assert 0.3 < answers.var(axis=0).mean() < 3
    untouched = resolve(model, "random", input_shape=SIZE, classes=CLASSES).module
    assert state_hash(untouched) != state_hash(module)
    again, _ = prepared(tmp_path / "again.pt", model)
    assert state_hash(again) == state_hash(module)


def test_without_data_noise_stands_in(tmp_path):
    module, spec = prepared(tmp_path / "module.pt", "squeezenet1_1", None)
    noise = next(data.noise(spec).batches(spec, 32))
    with torch.inference_mode():
        answers = module(torch.from_numpy(noise)).numpy()
    assert distances(answers, answers)["spread"] > 0.05


def test_the_last_layer_gets_zero_mean_and_unit_variance():
    model = resolve("tests.tiny:cnn", "random")
    assert random_weights.fit(model.module, images(model.spec))
    with torch.inference_mode():
        answers = torch.cat([model.module(torch.from_numpy(batch)) for (batch,) in images(model.spec)])
    assert answers.mean(dim=0).abs().max() < 1e-3 and answers.var(dim=0).mean() == pytest.approx(1, rel=1e-3)
    assert not any(layer.training for layer in model.module.modules())


class Ends(nn.Module):
    """Ends with `last`, which gets the mean colours of an image."""

    def __init__(self, last):
        super().__init__()
        self.last = last

    def forward(self, images):
        return self.last(images.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "last",
    [nn.Softmax(dim=1), nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.LayerNorm(5), nn.AdaptiveAvgPool1d(3))],
    ids=["no weights", "another count of outputs"],
)
def test_a_last_layer_that_is_not_known_stays_as_it_is(last):
    module = Ends(last).eval()
    before = state_hash(module)
    assert not random_weights.fit(module, images(resolve("tests.tiny:cnn").spec))
    assert state_hash(module) == before


def test_what_looks_alike_is_not_blown_up():
    module = Ends(nn.Linear(3, 5)).eval()
    before = state_hash(module)
    assert not random_weights.fit(module, [(np.ones((16, 3, 8, 8), np.float32),)])
    assert state_hash(module) == before


class Muted(nn.Module):
    """A residual block whose layer scale starts near zero, as in ConvNeXt, and a last layer of zeros, as in ViT."""

    def __init__(self):
        super().__init__()
        self.block = nn.Linear(3, 3)
        self.layer_scale = nn.Parameter(torch.full((3,), 1e-6))
        self.last = nn.Linear(3, 5)
        nn.init.zeros_(self.last.weight)

    def forward(self, images):
        colours = images.mean(dim=(2, 3))
        return self.last(colours + self.layer_scale * self.block(colours))


def test_layers_that_start_muted_matter_to_the_answer():
    torch.manual_seed(0)
    module, batches = Muted().eval(), list(images(resolve("tests.tiny:cnn").spec))
    assert random_weights.fit(module, batches)
    with torch.inference_mode():
        answers = module(torch.from_numpy(batches[0][0])).numpy()
        assert answers.var(axis=0).mean() > 0.1
        module.block.weight.zero_()
        without = module(torch.from_numpy(batches[0][0])).numpy()
    assert distances(without, answers)["median"] > 0.1
