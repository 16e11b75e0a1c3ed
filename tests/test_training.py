"""The training loop on a few hundred real pictures: it learns, and it goes on exactly where it was killed."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from tests import tiny
from tvm_bench import data
from tvm_bench.errors import UserError
from tvm_bench.models.weights import load_state_dict, save_state_dict
from tvm_bench.training import loop
from tvm_bench.training.schedule import Schedule, parse_stages

SHORT = Schedule(stages=((16, 2.0), (32, 1.0)), batch_size=32, lr=0.2)


@pytest.fixture(scope="module")
def pictures():
    """The 512 embedded training pictures."""
    return data.load("fashion-mnist", "calibration")


def trained(pictures, folder, schedule=SHORT):
    torch.manual_seed(0)
    return loop.train(tiny.cnn(), tiny.Tiny.input_spec, pictures, schedule, folder)


def test_it_learns(pictures, tmp_path):
    module = trained(pictures, tmp_path, dataclasses.replace(SHORT, stages=((32, 8.0),), patience=8))
    top1, top5 = loop.accuracy(module, tiny.Tiny.input_spec, data.load("fashion-mnist", "test"))
    assert top1 > 0.35 and top5 > 0.8
    history = json.loads((tmp_path / "history.json").read_text())
    assert len(history) == 8 and history[-1]["loss"] < history[0]["loss"]


def test_killed_and_resumed_is_the_same_to_the_bit(pictures, tmp_path, monkeypatch):
    whole = trained(pictures, tmp_path / "whole")
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    steps = iter(range(1000))
    step = loop._step

    def dies(*arguments):
        if next(steps) == 20:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        trained(pictures, tmp_path / "killed")
    resumed = trained(pictures, tmp_path / "killed")
    assert next(steps) < 50, "it began again instead of going on"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_another_schedule_begins_again(pictures, tmp_path):
    trained(pictures, tmp_path)
    trained(pictures, tmp_path, dataclasses.replace(SHORT, seed=1))
    assert len(json.loads((tmp_path / "history.json").read_text())) == 3


def test_a_stage_ends_early_when_it_stops_getting_better(pictures, tmp_path):
    trained(pictures, tmp_path, dataclasses.replace(SHORT, stages=((16, 30.0), (32, 1.0)), patience=1, lr=2.0))
    history = json.loads((tmp_path / "history.json").read_text())
    assert len(history) < 31 and history[-1]["size"] == 32


def test_the_schedule():
    schedule = Schedule(stages=((64, 2.0), (224, 0.5)), batch_size=10, lr=0.1)
    assert [(e.size, e.pictures) for e in schedule.epochs(1000)] == [(64, 1000), (64, 1000), (224, 500)]
    rates = [schedule.rate(done) for done in np.linspace(0.02, 1, 50)]
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(0, abs=1e-9) and rates == sorted(rates)[::-1]
    assert parse_stages("64:6,224:0.5") == ((64, 6.0), (224, 0.5))
    for wrong in ("64", "64:0", "a:b", "", "4:1"):
        with pytest.raises(UserError, match="stages"):
            parse_stages(wrong)


def test_weights_survive_the_file(tmp_path):
    module, other = tiny.cnn(), tiny.cnn()
    save_state_dict(module, tmp_path / "weights.safetensors")
    load_state_dict(other, tmp_path / "weights.safetensors")
    for name, value in module.state_dict().items():
        assert torch.allclose(value, other.state_dict()[name], atol=1e-3), name
