"""What the commands make of their options, and what one command remembers for the next."""

from dataclasses import replace

import pytest

from tvm_bench.pipeline import recipe_settings
from tvm_bench.pipeline.steps import Workbench
from tvm_bench.spec import recipe
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.recipe import Settings
from tvm_bench.spec.training import TrainingRequest
from tvm_bench.spec.variant import ModelSpec, RunSpec


@pytest.mark.parametrize(
    ("options", "model", "lr"),
    [
        ({}, "resnet18", 0.1),
        ({"weights": "imagenet"}, "resnet18", 0.01),
        ({"lr": 0.3, "weights": "imagenet"}, "resnet18", 0.3),
        ({"data": "cifar10"}, "resnet18-cifar", 0.1),
        ({"data": "cifar100:folder", "image_size": 32}, "resnet18-cifar", 0.1),
        ({"data": "cifar10", "image_size": 64}, "resnet18", 0.1),
        ({"data": "cifar10", "stages": "32:1,64:1"}, "resnet18", 0.1),
        ({"data": "cifar10", "model": "resnet18-cifar", "weights": "own.pt"}, "resnet18-cifar", 0.01),
        ({"data": "cifar10", "model": "mobilenet_v2"}, "mobilenet_v2", 0.1),
    ],
)
def test_a_training_gets_its_stem_and_learning_rate(options, model, lr):
    request = TrainingRequest(**{"model": "resnet18", "data": "fashion-mnist", **options})
    resolved = request.resolved()
    assert (resolved.model, resolved.lr) == (model, lr)
    assert replace(resolved, model=request.model, lr=request.lr) == request, "something else was changed"


def test_settings_of_compress_are_remembered_beside_its_result(tmp_path):
    model_spec = ModelSpec("tests.tiny:cnn", recipe="prune-2:4")
    plain = Workbench(RunSpec(model_spec, ("fp32",), (), None, (1,), (1,), tmp_path), {})
    given = Workbench(replace(plain.run_spec, settings=Settings(epochs=3.0, layers=("stem.0",))), {})
    technique, path = recipe.technique("prune-2:4"), tmp_path / "recipe.json"
    assert recipe_settings.settings(plain, technique, path) == Settings().of(technique)
    written = recipe_settings.settings(given, technique, path)
    remembered = Settings.from_dict(recipe_settings.settings(plain, technique, path))
    assert remembered == Settings.from_dict(written) == given.run_spec.settings
    path.write_text("{")
    with pytest.raises(UserError, match="Delete it"):
        recipe_settings.settings(plain, technique, path)
