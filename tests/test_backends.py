"""One contract for all backends: right answers, for the batch and on the threads asked for, and errors that say why."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests import forks, probe, tiny
from tests.conftest import ROOT, TINY
from tvm_bench import backends as runtimes
from tvm_bench import data
from tvm_bench.exporters import module_file, onnx_file, qdq
from tvm_bench.host import cpu, deployment_size, environments, packages
from tvm_bench.jobs import launcher
from tvm_bench.pipeline import measurement, race, steps
from tvm_bench.spec import backends, formats
from tvm_bench.spec.errors import Unavailable, UserError
from tvm_bench.spec.recipe import Quantize
from tvm_bench.spec.tensors import TensorSpec, image_input
from tvm_bench.spec.variant import PRECISIONS, ModelSpec, RunSpec, Variant

THREADS = 1  # of two cores or more: a backend that takes what it finds is seen
BATCHES = (1, 3)
IMAGES = 33
# The first is what the others are compared with; the second compiles for a minute, and both its halves are tried.
NOT_TRIED = {("fp32", "eager"), ("bf16", "inductor-max-autotune")}
PAIRS = [pair for pair in backends.pairs(backends.COMPETING, PRECISIONS) if pair not in NOT_TRIED]
SLOW = {("fp32", "inductor-max-autotune"), ("bf16", "inductor")}  # compile for half a minute
# Largest distance to FP32 eager as a share of what the answers vary by, and the least share of equal classes.
CLOSE = {"fp32": (1e-4, 1.0), "bf16": (0.03, 0.97), "fp16-dynamic": (0.01, 1.0), "fp16": (0.01, 0.97)}
CLOSE |= {"int8": (0.25, 0.9), "int8-dynamic": (0.05, 0.97)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    terms = {"frontends": (), "target": None, "batches": (1,), "threads": (THREADS,)}
    run_spec = RunSpec(
        ModelSpec(TINY, data="fashion-mnist"), PRECISIONS, root=tmp_path_factory.mktemp("artifacts").absolute(), **terms
    )
    return steps.open_workbench(run_spec, calibrate=True)


@pytest.fixture(scope="module")
def images(bench, tmp_path_factory):
    from tests.tiny import Tiny

    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, np.concatenate(list(data.load("fashion-mnist", "test").batches(Tiny.input_spec, 1, IMAGES))))
    return path


@pytest.fixture(scope="module")
def expected(bench, images):
    variant = Variant(bench.model_spec, "fp32", "eager", threads=THREADS)
    logits = run(bench, variant, images)["logits"]["1"]
    assert len(set(np.argmax(logits, axis=1))) > 1, "a network that knows one class only would pass anything"
    return np.array(logits)


def run(bench, variant, images):
    """What tests/probe.py finds out of a variant, built for each of the batch sizes, in a job's environment."""
    artifacts = {size: steps.build(bench, replace(variant, batch=size)) for size in BATCHES}
    request = {
        "backend": variant.backend,
        "artifacts": {size: str(path) for size, path in artifacts.items()},
        "damaged": str(cut_short(artifacts[1], bench.folder / "damaged" / variant.label)),
        "threads": THREADS,
        "images": str(images),
    }
    asked, answered = (bench.folder / f"{variant.label}-{name}.json" for name in ("asked", "answered"))
    asked.write_text(json.dumps(request))
    environment = launcher.child_environment(THREADS)
    if name := backends.named(variant.backend).environment:
        code = f"from tests import probe; probe.main({str(asked)!r}, {str(answered)!r})"
        subprocess.run([environments.python(name), "-c", code], env=environment, cwd=ROOT, check=True)
    else:
        forks.call(probe.main, asked, answered, environment=environment)
    return json.loads(answered.read_text())


def cut_short(artifact, folder):
    """A copy of an artifact, the last half of its largest file missing."""
    folder.mkdir(parents=True)
    if artifact.is_dir():
        copy = shutil.copytree(artifact, folder / artifact.name)
        files = [copy / "lib.so"]
    else:
        files = [Path(shutil.copy(file, folder)) for file in formats.files(artifact)]
        copy = files[0]
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    return copy


@pytest.mark.parametrize(
    ("precision", "backend"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if pair in SLOW else [], id="-".join(pair)) for pair in PAIRS],
)
def test_contract(bench, images, expected, precision, backend):
    variant = Variant(bench.model_spec, precision, backend, threads=THREADS)
    if precision == "bf16" and not cpu.has_bf16():
        with pytest.raises(UserError, match=r"avx512_bf16|not installed"):
            steps.build(bench, variant)
        return
    needed = backends.named(backend)
    try:
        packages.need(needed.packages, gpu=needed.gpu)
        if needed.environment:
            environments.python(needed.environment)
    except Unavailable as error:
        assert "GPU" in str(error) or re.search("not installed. Install it: |not built. Build it: ", str(error))
        rules, path = race.Rules(rounds=1, samples=2, images=10), bench.folder / "results.json"
        (row,) = race.race([race.entrant(bench, variant)], rules, {}, path).variants
        assert (row.status, row.error) == ("skipped", str(error))
        pytest.skip(str(error))
    found = run(bench, variant, images)
    varies = np.linalg.norm(expected - expected.mean(axis=0))
    distance, same = CLOSE[precision]
    for batch in BATCHES:
        logits = np.array(found["logits"][str(batch)])
        assert logits.shape == expected.shape
        assert np.linalg.norm(logits - expected) / varies <= distance
        assert (logits.argmax(1) == expected.argmax(1)).mean() >= same
        assert precision == "fp32" or np.abs(logits - expected).max() > 0, "equal to FP32 to the bit"
    # A second thread at work, or spinning, would make it two.
    assert found["cpu_per_wall"] < THREADS + 0.3
    assert found["torch_threads"] == THREADS
    said = found["error"] or "nothing"
    assert "damaged" in said or "not the file that was built" in said, said


def test_every_backend_says_what_it_takes_and_has():
    for name, backend in backends.BACKENDS.items():
        kinds = {backend.source, backend.pytorch or backend.source}
        for precision in backend.precisions:
            assert precision in PRECISIONS
            source = Variant(ModelSpec("resnet18"), precision, name).source_precision
            assert all((kind, source) in formats.FORMATS for kind in kinds), f"{name} has no source in {precision}"
    assert set(backends.BACKENDS) - set(backends.COMPETING) == {"relay-stock", "null"}


class TwoOfEach(torch.nn.Module):
    """Two inputs and two outputs, whose alphabetic order is not theirs."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = torch.nn.Conv2d(3, 10, 3), torch.nn.Linear(7, 4)

    def forward(self, z_image, a_vector):
        return torch.relu(self.conv(z_image)), self.linear(a_vector)


@pytest.mark.parametrize(("backend", "batch"), [("ncnn", 1), ("mnn", 1), ("mnn", 3), ("openvino", 3)])
def test_inputs_and_outputs_are_in_the_order_of_the_model(backend, batch, tmp_path):
    needed = backends.named(backend)
    try:
        packages.need({*needed.packages, *formats.FORMATS[needed.source, "fp32"].packages})
    except Unavailable as error:
        pytest.skip(str(error))
    from tvm_bench.jobs.verbs import prepare

    torch.manual_seed(0)
    module = TwoOfEach().eval()
    inputs = (TensorSpec("z_image", (batch, 3, 13, 9), "float32"), TensorSpec("a_vector", (batch, 7), "float32"))
    onnx_file.save_from_module(module, tmp_path / "two.onnx", inputs)
    artifact = tmp_path / f"two{formats.SUFFIXES[needed.source]}"
    request = {"source": tmp_path / "two.onnx", "out": artifact, "inputs": inputs, "precision": "fp32"}
    prepare.WRITERS[needed.source](SimpleNamespace(**request, quantization=Quantize("fp32")))
    given = tuple(np.random.default_rng(0).standard_normal(spec.shape).astype(np.float32) for spec in inputs)
    answers = runtimes.load(backend, artifact, threads=THREADS)(given)
    for answer, right in zip(answers, module(*map(torch.from_numpy, given)), strict=True):
        np.testing.assert_allclose(answer, right.detach(), rtol=1e-5, atol=1e-5)


def test_ncnn_takes_floats_only():
    from tvm_bench.jobs.verbs import prepare

    with pytest.raises(UserError, match="ncnn takes FP32 inputs only. Give other --backends"):
        prepare.write_ncnn(SimpleNamespace(inputs=(TensorSpec("tokens", (1, 7), "int64"),)))


@pytest.mark.parametrize("peer", ["ncnn", "mnn"])
def test_a_file_that_a_converter_cannot_read_is_named(peer, tmp_path):
    try:
        packages.need(formats.FORMATS[peer, "fp32"].packages)
    except Unavailable as error:
        pytest.skip(str(error))
    (tmp_path / "broken.onnx").write_bytes(b"no ONNX file")
    converter = importlib.import_module(f"tvm_bench.exporters.{peer}_file")
    with pytest.raises(UserError, match=r"cannot convert '.*broken.onnx'.*Give other --backends"):
        converter.convert(tmp_path / "broken.onnx", tmp_path / f"out{formats.SUFFIXES[peer]}")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]


def test_formats_come_from_the_model():
    for (kind, precision), form in formats.FORMATS.items():
        seen = {(kind, precision)}
        while form.parent:
            assert form.parent not in seen
            seen.add(form.parent)
            form = formats.FORMATS[form.parent]
        assert ("module", "fp32") in seen and kind in formats.SUFFIXES


def test_a_package_that_is_not_installed_is_told_with_its_cure(monkeypatch):
    lacking = replace(backends.BACKENDS["openvino"], packages=("no-such-package",))
    monkeypatch.setitem(backends.BACKENDS, "openvino", lacking)
    with pytest.raises(UserError, match="no-such-package: not installed. Install it: make peers"):
        runtimes.load("openvino", Path("model.xml"), threads=1)


def test_pairs_that_do_not_exist_are_left_out_and_none_is_an_error(cli, tmp_path):
    assert backends.pairs(("eager", "relay"), ("int8", "bf16")) == [
        ("int8", "eager"), ("bf16", "eager"), ("int8", "relay"), ("bf16", "relay"),
    ]  # fmt: skip
    with pytest.raises(
        UserError, match="int8-dynamic: relay has fp32, int8, bf16; null has fp32. Give another --precision"
    ):
        backends.pairs(("relay", "null"), ("int8-dynamic",))
    done = cli("bench", "--model", TINY, "--backends", "torchscript", "--precision", "bf16", "--artifacts", tmp_path)
    assert done.returncode == 2 and "torchscript has fp32, int8" in done.stderr and not list(tmp_path.iterdir())


def test_inductor_without_a_compiler(bench, tmp_path):
    """A PATH without one, in a process of its own: what torch finds once, it remembers."""
    artifact = steps.build(bench, Variant(bench.model_spec, "fp32", "eager"))
    code = (
        "import sys, pathlib; from tvm_bench import backends; from tvm_bench.spec import errors\n"
        "try: backends.load('inductor', pathlib.Path(sys.argv[1]), threads=1)\n"
        "except errors.UserError as error: print(error)"
    )
    environment = {**launcher.child_environment(1), "PATH": str(tmp_path)}
    environment.pop("CXX", None)
    command = [sys.executable, "-c", code, str(artifact)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "torch.compile needs. Install it: apt-get install g++" in done.stdout


LOADED = """
import json, sys
from pathlib import Path
from tvm_bench import backends
from tvm_bench.host.machine import peak_rss_mb, rss_mb
backends.runtime("eager")
imported, before = set(sys.modules), rss_mb()
run = backends.load("eager", Path(sys.argv[1]), threads=1)
print(peak_rss_mb() - before, json.dumps(sorted(set(sys.modules) - imported)))
"""
WIDE = """
import torch
def wide(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10_000))
"""


def loaded(path, cwd):
    """MB that the load of a module file takes at its peak, and the packages that it imports."""
    environment = {**launcher.child_environment(1), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", LOADED, path]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    taken, _, names = done.stdout.partition(" ")
    return float(taken), json.loads(names)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_eager_holds_its_weights_once(tmp_path, monkeypatch):
    (tmp_path / "wide.py").write_text(WIDE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import wide

    module = wide.wide()
    size = sum(parameter.nbytes for parameter in module.parameters()) / 1e6
    module_file.save(
        module,
        tmp_path / "wide.pt",
        model="wide:wide",
        classes=10_000,
        precision="fp32",
        inputs=(image_input((3, 32, 32)),),
    )
    assert loaded(tmp_path / "wide.pt", tmp_path)[0] < 1.5 * size


def test_loading_eager_imports_nothing_of_pytorch(bench):
    """What the library imports is no part of the time that a network takes to load; a user's own module is."""
    for precision in ("fp32", "int8"):
        names = loaded(steps.build(bench, Variant(bench.model_spec, precision, "eager")), ROOT)[1]
        assert all(name.startswith(("tests", "torch.utils.serialization")) for name in names), names


def test_a_loaded_module_was_not_initialised(tmp_path):
    torch.manual_seed(1)
    module = tiny.cnn().eval()
    module_file.save(
        module, tmp_path / "m.pt", model=TINY, classes=10, precision="fp32", inputs=(image_input((3, 32, 32)),)
    )
    state = torch.get_rng_state()
    again = module_file.load(tmp_path / "m.pt")
    assert torch.equal(torch.get_rng_state(), state), "random numbers were drawn"
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(again(images), module(images))


def test_dynamic_quantization_leaves_one_file(tmp_path):
    onnx_file.save_from_module(tiny.cnn().eval(), tmp_path / "fp32.onnx", [image_input((3, 32, 32))])
    qdq.quantize_on_the_fly(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp32.onnx", "int8.onnx"]


def test_shapes_that_are_not_inferred_leave_nothing_in_the_current_folder(tmp_path, monkeypatch):
    def infer(self):
        self.run_ = False
        return False  # not all shapes are known: now it writes the model to sym_shape_infer_temp.onnx, and raises

    monkeypatch.setattr("onnxruntime.tools.symbolic_shape_infer.SymbolicShapeInference._infer_impl", infer)
    monkeypatch.chdir(tmp_path)
    onnx_file.save_from_module(tiny.cnn().eval(), Path("fp32.onnx"), [image_input((3, 32, 32))])
    qdq.quantize(Path("fp32.onnx"), Path("int8.onnx"), [(np.zeros((1, 3, 32, 32), np.float32),)], vnni=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp32.onnx", "int8.onnx"]


def test_what_a_backend_compiled_is_part_of_its_size(tmp_path):
    artifact = tmp_path / "fp32-module.pt"
    artifact.write_bytes(b"0" * 1000)
    for backend, size in (
        ("inductor", 200),
        ("inductor-max-autotune", 3000),
        ("inductor-cuda", 500),
        ("tensorrt", 40_000),
    ):
        folder = deployment_size.compiled_folder(backend, artifact) / "ab"
        folder.mkdir(parents=True)
        (folder / "kernel.so").write_bytes(b"0" * size)
        assert measurement.size_mb(artifact, backend) == (1000 + size) / 1e6
    assert measurement.size_mb(artifact, "eager") == 1000 / 1e6
