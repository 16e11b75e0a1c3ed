"""The training loop on a few hundred real images: it learns, and it resumes exactly where it was killed."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tvm_bench import data
from tvm_bench.models.weights import load_state_dict, save_state_dict
from tvm_bench.spec.errors import UserError
from tvm_bench.training import loop
from tvm_bench.training.evaluation import accuracy, evaluate
from tvm_bench.training.images import split
from tvm_bench.training.options import Options, parse_stages

SHORT = Options(stages=((16, 2.0), (32, 1.0)), batch_size=32, lr=0.2)


@pytest.fixture(scope="module")
def images():
    """The 512 embedded training images, some of them held out."""
    return split(data.load("fashion-mnist", "calibration"), tiny.Tiny.input_spec)


def trained(images, folder=None, options=SHORT, **given):
    torch.manual_seed(0)
    module = tiny.cnn()
    return module, loop.fit(module, *images, options, folder=folder, **given)


def timeless(history):
    return [{**row, "seconds": 0} for row in history]


def assert_same(one, other):
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_random_crop_depends_on_seed_and_image_only(images):
    before = torch.get_rng_state()

    def crop(seed, *positions):
        (batch, _), *_ = images[0].batches([np.array(positions)], seed)
        return batch[-1]

    assert torch.equal(crop(1, 3, 5), crop(1, 5)) and not torch.equal(crop(1, 5), crop(2, 5))
    assert torch.equal(before, torch.get_rng_state()), "dropout of the next step would depend on the images read"


def test_it_learns(images, tmp_path):
    module, history = trained(images, tmp_path, Options(epochs=8, batch_size=32, lr=0.2, patience=8))
    top1, top5 = accuracy(module, tiny.Tiny.input_spec, data.load("fashion-mnist", "test"))
    assert top1 > 0.35 and top5 > 0.8 and not module.training
    assert len(history) == 8 and history[-1]["loss"] < history[0]["loss"]
    assert json.loads((tmp_path / "history.json").read_text()) == history
    best = min(row["validation_loss"] for row in history)
    assert evaluate(module, images[1])[0] == pytest.approx(best, rel=1e-5)


def test_a_network_with_an_auxiliary_head_learns_by_its_main_one(images):
    class TwoHeads(tiny.Tiny):
        """Answers as GoogLeNet does while it trains."""

        def forward(self, images):
            answers = super().forward(images)
            return (answers, answers.flip(1)) if self.training else answers

    torch.manual_seed(0)
    history = loop.fit(TwoHeads(), *images, SHORT)
    assert timeless(history) == timeless(trained(images)[1])


def test_killed_and_resumed_is_the_same_to_the_bit(images, tmp_path, monkeypatch):
    whole, history = trained(images)
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    steps = iter(range(1000))
    step = loop._step

    def dies(*arguments):
        if next(steps) == 20:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        trained(images, tmp_path)
    resumed, again = trained(images, tmp_path)
    assert next(steps) < 50, "it began again instead of going on"
    assert_same(whole, resumed)
    assert timeless(history) == timeless(again)


@pytest.mark.parametrize("other", [{"options": dataclasses.replace(SHORT, seed=1)}, {"about": "temperature 4"}])
def test_a_checkpoint_serves_no_other_training(images, tmp_path, other, capsys):
    trained(images, tmp_path)
    steps = trained(images, tmp_path, **other)[1]
    assert len(steps) == 3 and "of another training" in capsys.readouterr().err


def test_a_stage_ends_early_when_it_stops_getting_better(images, monkeypatch):
    seen = []
    monkeypatch.setattr(Options, "rate", lambda options, done: seen.append(done) or options.lr)
    _, history = trained(images, None, Options(stages=((16, 30.0), (32, 1.0)), batch_size=32, patience=1, lr=2.0))
    assert len(history) < 31 and history[-1]["size"] == 32
    assert seen == sorted(seen) and seen[-1] > 0.95, "the last stage has the end of the cosine"


def test_a_loss_of_ones_own_and_a_hook(images):
    """Distillation and pruning enter here: the loss sees a teacher, the hook puts zeros back."""
    teacher, _ = trained(images)

    def imitate(model, images, labels):
        with torch.no_grad():
            wanted = teacher(images)
        return nn.functional.mse_loss(model(images).float(), wanted.float())

    def prune(model):
        with torch.no_grad():
            model.head.weight[:, ::2] = 0

    student, history = trained(images, loss=imitate, after_step=prune)
    assert history[-1]["loss"] < history[0]["loss"]
    assert (student.head.weight[:, ::2] == 0).all() and (student.head.weight[:, 1::2] != 0).all()


def test_only_what_may_learn_is_trained(images):
    torch.manual_seed(0)
    module = tiny.cnn()
    module.stem.requires_grad_(False)
    before = module.stem[0].weight.clone(), module.head.weight.clone()
    loop.fit(module, *images, SHORT)
    assert torch.equal(before[0], module.stem[0].weight) and not torch.equal(before[1], module.head.weight)


def test_divergence_is_told(images):
    with pytest.raises(UserError, match="lower --lr"):
        trained(images, None, Options(epochs=3, batch_size=32, lr=1e30))


def test_the_plan():
    options = Options(stages=((64, 2.0), (224, 0.5)), batch_size=10, lr=0.1)
    assert [(e.size, e.steps) for e in options.plan(1009, 32)] == [(64, 100), (64, 100), (224, 50)]
    assert [(e.size, e.steps) for e in Options(epochs=1.5, batch_size=64).plan(20, 32)] == [(32, 1), (32, 1)]
    rates = [options.rate(done) for done in np.linspace(0.02, 1, 50)]
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(0, abs=1e-9) and rates == sorted(rates)[::-1]
    assert parse_stages("64:6,224:0.5") == ((64, 6.0), (224, 0.5))
    for wrong in ("64", "64:0", "a:b", "", "4:1", "64:nan"):
        with pytest.raises(UserError, match="stages"):
            parse_stages(wrong)


def test_weights_survive_the_file(tmp_path):
    module, other = tiny.cnn(), tiny.cnn()
    save_state_dict(module, tmp_path / "weights.safetensors")
    load_state_dict(other, tmp_path / "weights.safetensors")
    for name, value in module.state_dict().items():
        assert torch.allclose(value, other.state_dict()[name], atol=1e-3), name


class Touches:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", ["code", "cut", "other"])
def test_a_checkpoint_that_is_none_is_refused_and_runs_nothing(images, tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save({"code": Touches(tmp_path / "ran"), "other": [1], "cut": {}}[content], path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged. Delete it"):
        trained(images, tmp_path)
    assert not (tmp_path / "ran").exists()
