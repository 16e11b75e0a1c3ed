"""An exported application, in an environment that has neither this package nor torch nor TVM's Python side."""

import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tvm_bench
from tvm_bench.data import preprocess
from tvm_bench.data.preprocess import InputSpec

PACKAGES = ("numpy", "PIL")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that has NumPy and Pillow only: links to those of this environment."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=True, with_pip=False)
    (site,) = root.glob("lib/python*/site-packages")
    for name in PACKAGES:
        package = Path(importlib.util.find_spec(name).origin).parent
        for folder in (package, *package.parent.glob(f"{package.name.replace('PIL', 'pillow')}.libs")):
            (site / folder.name).symlink_to(folder)
    for name in ("torch", "tvm", "tvm_bench"):
        assert subprocess.run([root / "bin/python", "-Ic", f"import {name}"], stderr=subprocess.DEVNULL).returncode
    return root / "bin" / "python"


@pytest.fixture
def application(built, tmp_path, cli):
    folder = tmp_path / "application"
    done = cli("export", built / "int8-relay-onnx", folder)
    assert done.returncode == 0 and "--check" in done.stdout, done.stderr
    return folder


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    pixels = np.random.default_rng(1).integers(0, 256, (61, 43, 3), np.uint8)
    Image.fromarray(pixels).resize((90, 128)).save(path)
    return path


def predicted(python, folder, *arguments):
    command = [python, "-Es", folder / "predict.py", *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_application_gives_the_outputs_of_the_build(python, application, cli, built):
    done = predicted(python, application, "--check")
    assert done.returncode == 0 and "differs by 0 of its range" in done.stdout, done.stderr
    golden = dict(np.load(application / "model" / "golden.npz"))
    library = tvm_bench.load(built / "int8-relay-onnx")
    np.savez(application / "inputs.npz", **{library.inputs[0].name: golden["input_0"]})
    assert predicted(python, application, "inputs.npz").returncode == 0
    with np.load(application / "outputs.npz") as outputs:
        assert np.array_equal(outputs[library.outputs[0].name], golden["output_0"])
    np.savez(application / "inputs.npz", other=golden["input_0"])
    assert "has no array" in predicted(python, application, "inputs.npz").stderr
    again = cli("export", built / "int8-relay-onnx", application)
    assert again.returncode == 2 and "is not empty" in again.stderr


def test_the_application_classifies_as_the_library(python, application, built, image):
    done = predicted(python, application, image)
    assert done.returncode == 0, done.stderr
    expected = tvm_bench.load(built / "int8-relay-onnx").predict([image])[0]
    assert done.stdout.splitlines()[1:] == [f"  {share:6.1%} {name}" for name, share in expected]
    assert "cannot be read as an image" in predicted(python, application, "predict.py").stderr


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(),
        InputSpec((3, 32, 48), 40, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
        InputSpec((3, 28, 28), 28, (0.3,) * 3, (0.3,) * 3, grey=True),
        InputSpec((1, 28, 28), 32, (0.3,), (0.3,)),
    ],
)
def test_the_application_prepares_images_as_the_package(application, image, spec, monkeypatch):
    monkeypatch.syspath_prepend(application)
    predict = importlib.import_module("predict")
    monkeypatch.delitem(sys.modules, "predict")
    with Image.open(image) as opened:
        ours = preprocess.network_input(opened, spec)
        theirs = predict.preprocess(opened, json.loads(json.dumps(vars(spec))))
    assert ours.shape == theirs.shape == spec.shape and theirs.dtype == np.float32
    assert np.array_equal(ours, theirs)


def test_the_application_is_checked_before_it_is_opened(python, application):
    about = json.loads((application / "model" / "manifest.json").read_text())
    (application / "model" / "manifest.json").write_text(json.dumps({**about, "cpu_flags": ["avx1024"]}))
    assert "This CPU lacks avx1024" in predicted(python, application, "--check").stderr
    (application / "model" / "lib.so").write_bytes(b"\x7fELF")
    assert "is not the file that was built" in predicted(python, application, "--check").stderr


def test_the_application_runs_from_c(application, built, image):
    library = tvm_bench.load(built / "int8-relay-onnx")
    library.preprocess(image).tofile(application / "input.bin")
    subprocess.run(["make", "CXXFLAGS=-O0"], cwd=application, check=True, capture_output=True)
    done = subprocess.run([application / "predict", "input.bin"], cwd=application, capture_output=True, text=True)
    scores = library((library.preprocess(image),))[0][0]
    best = np.argsort(-scores)[:5]
    assert done.stdout.splitlines() == ["output 0", *(f"  {i} {scores[i]:g}" for i in best)]
    (application / "input.bin").write_bytes(b"0")
    short = subprocess.run([application / "predict", "input.bin"], cwd=application, capture_output=True, text=True)
    assert short.returncode == 2 and f"must have {4 * library.preprocess(image).size}" in short.stderr
