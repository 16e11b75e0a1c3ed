"""`tvm-bench train`, as a user runs it: killed, fine-tuned, on two processes, and with bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.test_published_data import cifar10, packed
from tvm_bench import data as datasets
from tvm_bench.data.preprocess import InputSpec
from tvm_bench.exporters import module_file
from tvm_bench.jobs.verbs import describe, prepare
from tvm_bench.models.weights import trained_as
from tvm_bench.spec.variant import ModelSpec

NET = "tests.tiny:grouped"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Bright and dark images, 48 of each for training and 8 for testing."""
    root = tmp_path_factory.mktemp("shapes")
    draw = np.random.default_rng(0)
    for split, each in (("train", 48), ("test", 8)):
        for name, level in (("bright", 130), ("dark", 90)):
            (root / split / name).mkdir(parents=True)
            for i in range(each):
                pixels = draw.integers(level - 60, level + 60, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


def arguments(root, artifacts, *more):
    options = ("--epochs", 4, "--batch-size", 16, "--lr", 0.05, "--threads", 1, "--device", "cpu")
    return ["train", "--model", NET, "--data", f"imagefolder:{root}", *options, "--artifacts", artifacts, *more]


def folder(artifacts, root, model="tiny-grouped"):
    return artifacts / model / "training" / root.name


def history(path):
    return [{**row, "seconds": 0} for row in json.loads((path / "history.json").read_text())]


@pytest.fixture(scope="module")
def alone(cli, shapes, tmp_path_factory):
    """A training by one process, without mixed precision; its folder."""
    artifacts = tmp_path_factory.mktemp("alone")
    done = cli(*arguments(shapes, artifacts, "--no-amp"))
    assert done.returncode == 0, done.stderr
    assert "Top-1" in done.stdout and f"next: tvm-bench bench --model {NET}" in done.stdout
    return folder(artifacts, shapes)


def test_what_it_leaves(alone, shapes):
    weights = alone / f"{shapes.name}.safetensors"
    assert trained_as(weights)["classes"] == ["bright", "dark"]
    rows = history(alone)
    assert len(rows) == 4 and rows[-1]["loss"] < rows[0]["loss"]
    picture = Image.open(alone / "training_history.png")
    assert picture.width > 800 and len(set(picture.convert("L").tobytes())) > 20


def test_two_processes_reach_the_loss_of_one(alone, shapes, tmp_path):
    """Same images, batches and crops, each process with half of every batch.

    The network has group norm: batch norm would take its statistics from half a batch (on CUDA it is synchronised).
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tvm_bench", *map(str, arguments(shapes, tmp_path, "--no-amp", "--distributed"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Top-1") == 1, "the first process alone speaks"
    one, two = history(alone), history(folder(tmp_path, shapes))
    for key in ("loss", "validation_loss"):
        assert [row[key] for row in two] == pytest.approx([row[key] for row in one], rel=1e-4)
    halves = [load_file(path / f"{shapes.name}.safetensors") for path in (alone, folder(tmp_path, shapes))]
    for name, value in halves[0].items():
        assert np.allclose(value, halves[1][name], atol=2e-3), name


def test_kill_9_loses_nothing(alone, cli, shapes, tmp_path):
    command = [sys.executable, "-m", "tvm_bench", *map(str, arguments(shapes, tmp_path, "--no-amp"))]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    checkpoint = folder(tmp_path, shapes) / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    stood = torch.load(checkpoint, weights_only=True)["state"]
    done = cli(*arguments(shapes, tmp_path, "--no-amp"))
    assert done.returncode == 0, done.stderr
    assert history(folder(tmp_path, shapes)) == history(alone)
    kept = json.loads((folder(tmp_path, shapes) / "history.json").read_text())[: stood["epoch"]]
    assert kept == stood["history"], "epochs that were done were done again"
    whole, resumed = (load_file(path / f"{shapes.name}.safetensors") for path in (alone, folder(tmp_path, shapes)))
    assert all((whole[name] == resumed[name]).all() for name in whole)


def test_cifar_gets_its_stem_and_keeps_it(cli, tmp_path):
    """The published archive -> train -> what `bench` does first with the options that it prints, INT8 included."""
    archive = packed(tmp_path, "cifar10", cifar10(each=24))
    data = f"cifar10:{archive}"
    done = cli("train", "--data", data, "--epochs", 0.5, "--batch-size", 32, "--artifacts", tmp_path, "--threads", 1)
    assert done.returncode == 0, done.stderr
    weights = str(tmp_path / "resnet18-cifar/training/cifar10/cifar10.safetensors")
    assert f"--model resnet18-cifar --weights {weights} --data {data}" in done.stdout
    model_spec = ModelSpec("resnet18-cifar", weights, data=data).request()
    about = describe.run(model_spec, 1, True, None, 1, [])
    assert tuple(about["spec"]["shape"]) == (3, 32, 32)
    assert about["classes"][3] == "cat" and about["labelled"]
    assert about["calibration"] == {"data": "cifar10 (calibration)", "images": 120}
    files = [str(tmp_path / name) for name in ("fp32.pt", "int8.pt")]
    for precision, parent, out in (("fp32", None, files[0]), ("int8", *files)):
        prepare.run("module", precision, parent, out, model_spec, about, 1)
    images = torch.from_numpy(next(datasets.load(data, "test").batches(InputSpec.from_dict(about["spec"]), 3)))
    fp32, int8 = (module_file.load(Path(file))(images) for file in files)
    assert (int8 - fp32).norm() / fp32.norm() < 0.2


@pytest.mark.parametrize(
    "given, said",
    [
        (("--model", "tests.tiny:cnn"), "10 outputs and the data 2 classes"),
        (("--model", "resnet81"), "Did you mean"),
        (("--weights", "nowhere.safetensors"), "no weights at 'nowhere.safetensors'"),
        (("--data", "cifar10:nowhere"), "https://www.cs.toronto.edu"),
        (("--distributed",), "torchrun --nproc-per-node 2"),
        (("--stages", "64"), "SIZE:EPOCHS"),
        (("--lr", "1e30"), "lower --lr"),
        (("--epochs", "0"), "0"),
    ],
)
def test_bad_input(cli, shapes, tmp_path, given, said):
    done = cli(*arguments(shapes, tmp_path), *given)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert said in " ".join(done.stderr.split())
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pt", ".safetensors", ".png")]
