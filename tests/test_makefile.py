"""What the Makefile asks of the command line, and what it deletes."""

import shutil
import subprocess

import pytest

from tests.conftest import ROOT


@pytest.fixture
def make(tmp_path):
    """`make` in an empty folder that has the Makefile; returns what it printed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    for name in ("setup.cfg", "pyproject.toml", ".venv/.ready", ".venv/.peers"):
        (tmp_path / name).write_text("")

    def run(*arguments):
        done = subprocess.run(["make", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_report_is_of_the_model_that_was_raced(make):
    given = ("MODEL=nets/model.onnx", "WEIGHTS=runs/best.pt", "DATA=cifar10", "THREADS=2")
    raced, reported = (make("-n", target, *given) for target in ("bench", "report"))
    for option in ("--model nets/model.onnx", "--weights runs/best.pt", "--data cifar10"):
        assert option in raced and option in reported
    assert "--threads 2" in raced


def artifacts(root):
    return {str(path.relative_to(root / "artifacts")) for path in (root / "artifacts").rglob("*") if path.is_file()}


def test_clean_keeps_what_was_trained(make, tmp_path):
    trained = {
        *("resnet18/training/cifar10/cifar10.safetensors", "resnet18/training/cifar10/checkpoint.pt"),
        *(
            "resnet18+prune/compressed/weights.safetensors",
            "resnet18+prune/compressed/training/iteration-1/checkpoint.pt",
        ),
        *("resnet18+qat/qat/checkpoint.pt", "resnet18+qat/qat/recipe.json", "resnet18+prune/compressed/recipe.json"),
    }
    made = {
        "resnet18/results.json",
        "resnet18+prune/int8-relay/lib.so",
        "resnet18+prune/jobs/x.log",
        "plain/jobs/x.log",
        "plain/sources/a.onnx",
    }
    for name in trained | made | {".gitkeep"}:
        (tmp_path / "artifacts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "artifacts" / name).write_text("")
    make("clean")
    assert artifacts(tmp_path) == trained | {".gitkeep"} and (tmp_path / ".venv").exists()
    assert not (tmp_path / "artifacts" / "plain").exists()
    make("distclean")
    assert artifacts(tmp_path) == {".gitkeep"} and not (tmp_path / ".venv").exists()
    make("clean")
