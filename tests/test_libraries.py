"""Libraries built by TVM for the tiny network: right answers by both front ends, and nothing opened unchecked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tvm_bench
from tests.conftest import ROOT
from tvm_bench import data
from tvm_bench.backends import eager, onnxruntime
from tvm_bench.backends.relay import library, target
from tvm_bench.data.preprocess import InputSpec
from tvm_bench.host import cpu, manifest
from tvm_bench.host.files import sha256
from tvm_bench.jobs.verbs import build
from tvm_bench.pipeline import artifacts
from tvm_bench.spec.errors import UserError

IMAGES = 100


def answers(run, spec):
    return np.concatenate([run((images,))[0] for images in data.load("fashion-mnist", "test").batches(spec, 1, IMAGES)])


@pytest.fixture(scope="module")
def spec(built):
    return InputSpec.from_dict(manifest.read(built / "fp32-relay-onnx")["spec"])


@pytest.fixture(scope="module")
def fp32_eager(built, spec):
    return answers(eager.load(built / "sources" / "fp32-module.pt", threads=1), spec)


@pytest.mark.parametrize("frontend", ["onnx", "pytorch"])
def test_fp32_library_answers_as_eager(built, spec, fp32_eager, frontend):
    library = tvm_bench.load(built / f"fp32-relay-{frontend}")
    assert np.abs(answers(library, spec) - fp32_eager).max() < 1e-4
    assert np.ptp(fp32_eager) > 0.1, "a constant network would pass anything"


@pytest.mark.parametrize(
    ("frontend", "source", "load"),
    [("onnx", "int8-onnx.onnx", onnxruntime.load), ("pytorch", "int8-module.pt", eager.load)],
)
def test_int8_library_answers_as_its_source(built, spec, fp32_eager, frontend, source, load):
    compiled = answers(tvm_bench.load(built / f"int8-relay-{frontend}"), spec)
    expected = answers(load(built / "sources" / source, threads=1), spec)
    assert (compiled.argmax(1) == expected.argmax(1)).mean() >= 0.97
    assert np.abs(compiled - fp32_eager).max() > 0, "INT8 that equals FP32 to the bit is not INT8"


@pytest.mark.parametrize("frontend", ["onnx", "pytorch"])
def test_int8_convolutions_are_integer_in_the_library(built, frontend):
    stage = json.loads((built / f"int8-relay-{frontend}" / "relay" / "4-optimized-and-fused.json").read_text())
    assert stage["dtypes"], "no convolution was counted"
    assert not any("float" in pair for pair in stage["dtypes"]), stage["dtypes"]
    assert stage["calls"].get("qnn.conv2d", 0) == 0


def test_plain_tvm_loads_the_library(built):
    """Nothing of ours is needed: only tvm and numpy."""
    code = """
import sys, numpy, tvm
from tvm.contrib import graph_executor
model = graph_executor.GraphModule(tvm.runtime.load_module(sys.argv[1] + "/lib.so")["default"](tvm.cpu()))
golden = numpy.load(sys.argv[1] + "/golden.npz")
model.set_input(0, golden["input_0"]); model.run()
assert numpy.array_equal(model.get_output(0).numpy(), golden["output_0"])
assert "tvm_bench" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(built / "int8-relay-pytorch")], check=True, cwd="/")


def test_image_files_are_classified(built, spec, tmp_path):
    images = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(images):
        data.load("fashion-mnist", "test").image(i).save(path)
    library = tvm_bench.load(built / "fp32-relay-onnx")
    scores = np.concatenate([library((library.preprocess(path),))[0] for path in images])
    np.testing.assert_array_equal(scores, answers(library, spec)[:8])
    for best, right in zip(library.predict(images, top=3), scores, strict=True):
        names, probabilities = zip(*best, strict=True)
        assert names == tuple(library.classes[i] for i in right.argsort()[::-1][:3])
        np.testing.assert_allclose(probabilities, np.exp(np.sort(right)[::-1][:3]) / np.exp(right).sum(), rtol=1e-5)


def test_a_library_is_verified(cli, built, tmp_path):
    folder = shutil.copytree(built / "int8-relay-onnx", tmp_path / "model" / "int8-relay-onnx")
    assert [library.folder for library in artifacts.built(tmp_path)] == [folder]
    assert "ms when built" in cli("list", "--artifacts", tmp_path).stdout
    done = cli("verify", folder)
    assert done.returncode == 0 and "is the same to the bit" in done.stdout, done.stderr
    golden = dict(np.load(folder / "golden.npz"))
    golden["output_0"][0, 0] += 0.1 * np.ptp(golden["output_0"])
    np.savez(folder / "golden.npz", **golden)
    changed = cli("verify", folder)
    assert changed.returncode == 2 and "is not the file that was built" in changed.stderr
    about = json.loads((folder / "manifest.json").read_text())
    about["files"]["golden.npz"] = sha256(folder / "golden.npz")
    (folder / "manifest.json").write_text(json.dumps(about))
    wrong = cli("verify", folder)
    assert wrong.returncode == 1 and "differs by at most" in wrong.stdout
    (folder / "manifest.json").write_text("{")
    assert "damaged" in cli("list", "--artifacts", tmp_path).stdout


@pytest.mark.skipif(cpu.available() < 2, reason="needs two CPUs")
def test_a_loaded_library_runs_with_the_thread_count_of_its_build_or_of_the_call(built):
    code = """
import sys, pathlib, tvm, tvm_bench
for threads in (1, 2):
    tvm_bench.load(pathlib.Path(sys.argv[1]), threads=threads)
    print(tvm.get_global_func("runtime.NumThreads")())
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", code, built / "fp32-relay-onnx"]
    assert subprocess.check_output(command, cwd=ROOT, env=environment, text=True).split() == ["1", "2"]


def test_the_manifest_says_what_was_built(built):
    about = manifest.verify(built / "int8-relay-pytorch")
    assert "-mcpu=" in about["target"] and "-num-cores=" in about["target"]
    assert about["kernels"] and {kernel["kind"] for kernel in about["kernels"].values()} == {"default"}
    assert about["quantization"]["calibration"]["images"] == 512
    assert "per channel" in about["quantization"]["weights"] and "Observer" in about["quantization"]["activations"]
    assert len(about["fingerprint"]) == 64


def altered(built, tmp_path, change):
    folder = tmp_path / "copy"
    shutil.copytree(built / "fp32-relay-onnx", folder)
    about = json.loads((folder / "manifest.json").read_text())
    change(folder, about)
    (folder / "manifest.json").write_text(json.dumps(about))
    return folder


# Of the features that /proc/cpuinfo shows, no CPU has all: AMD's have no AMX, Intel's with AMX no `vp2intersect`.
LACKED = ("amx-tile", "avx512vp2intersect")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder, about: about["cpu_features"].append("amx-fictional"), None),
        (lambda folder, about: about.update(cpu_features=[*LACKED]), "lacks"),
        (lambda folder, about: (folder / "lib.so").write_bytes(b"\x7fELF"), "not the file that was built"),
        (lambda folder, about: (folder / "lib.so").unlink(), "missing"),
        (lambda folder, about: about.update(schema=99), "schema 99"),
        (lambda folder, about: about.update(files={}), "lists no lib.so"),
        (lambda folder, about: about["files"].pop("lib.so"), "lists no lib.so"),
        (lambda folder, about: about.pop("cpu_features"), "no usable cpu_features"),
        (lambda folder, about: about.update(files=["lib.so"], threads="2"), "no usable files, threads"),
    ],
)
def test_a_library_is_checked_before_it_is_opened(built, tmp_path, change, words, monkeypatch):
    folder = altered(built, tmp_path, change)
    if words is None:  # a feature that nobody knows is not held against this CPU
        tvm_bench.load(folder)
        return
    opened = []
    monkeypatch.setattr(library, "Library", lambda *arguments: opened.append(arguments))
    with pytest.raises(UserError, match=words):
        tvm_bench.load(folder)
    assert not opened


def test_a_manifest_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(UserError, match="Build it again"):
        manifest.read(tmp_path)


def rebuilt(built, folder, mcpu, records=None):
    """Build the tiny network for a CPU in `folder`, in place of a library for this one; the manifest and outputs."""
    shutil.copytree(built / "fp32-relay-onnx", folder)
    (request,) = (path for path in (built / "jobs").glob("build-*.request.json") if "fp32-relay-onnx" in path.name)
    request = json.loads(request.read_text())["request"]
    request |= {"out": str(folder), "target_text": f"llvm -mcpu={mcpu}", "records": records}
    request |= {"reference": str(built / "fp32-relay-onnx") if records else None}
    before = json.dumps(request)
    outputs = build.run(**request)["outputs"]
    assert json.dumps(request) == before, "the receipt says what was asked for"
    return json.loads((folder / "manifest.json").read_text()), [Path(path) for path in outputs]


def foreign_cpu():
    """A CPU with features that this one lacks."""
    for mcpu in ("sapphirerapids", "znver5", "diamondrapids"):
        if cpu.missing(target.features(target.resolve(f"llvm -mcpu={mcpu}", 1))):
            return mcpu
    return pytest.skip("this CPU has the features of all others")


def test_a_library_for_another_cpu_has_no_golden_outputs_and_is_not_opened(built, tmp_path):
    about, outputs = rebuilt(built, tmp_path / "foreign", foreign_cpu())
    assert sorted(path.name for path in outputs) == ["lib.so", "manifest.json"]
    assert all(path.is_file() for path in outputs)
    assert about["files"].keys() == {"lib.so"} and "latency_ms_when_built" not in about
    assert not (tmp_path / "foreign" / "golden.npz").exists(), "that of an earlier build for this CPU"
    with pytest.raises(UserError, match="lacks .* It was not opened"):
        tvm_bench.load(tmp_path / "foreign")


def test_a_library_for_an_older_cpu_is_tried_where_this_one_can_run_it(built, tmp_path, spec):
    about, outputs = rebuilt(built, tmp_path / "older", "skylake-avx512")
    runs = not cpu.missing(about["cpu_features"])
    assert ("golden.npz" in {path.name for path in outputs}) == ("golden.npz" in about["files"]) == runs
    if runs:
        own, older = (tvm_bench.load(folder) for folder in (built / "fp32-relay-onnx", tmp_path / "older"))
        assert np.abs(answers(own, spec) - answers(older, spec)).max() < 1e-4


def test_tuning_records_for_another_cpu_are_used_without_measuring(built, tmp_path):
    mcpu = foreign_cpu()
    about, _ = rebuilt(built, tmp_path / "default", mcpu)
    kernel = next(kernel for kernel in about["kernels"].values() if "convolution" in kernel)
    default, other, *_ = kernel["candidates"]
    record = {"convolution": kernel["convolution"], "schedule": other, "default": default, "ms": 1.0, "default_ms": 2.0}
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "records.jsonl").write_text(json.dumps(record) + "\n")
    about, _ = rebuilt(built, tmp_path / "tuned", mcpu, {"templates": str(tmp_path / "templates")})
    assert about["tuning"]["chosen"] == "templates" and about["tuning"]["candidates_ms"] == {}
    assert {kernel["schedule"] for kernel in about["kernels"].values() if kernel["kind"] == "tuned"} == {other}


@pytest.mark.parametrize("wrong", [np.zeros((1, 3, 16, 16), np.float32), np.zeros((1, 3, 32, 32), np.float64)])
def test_wrong_input_is_refused(built, wrong):
    with pytest.raises(UserError, match=r"takes float32 \(1, 3, 32, 32\)"):
        tvm_bench.load(built / "fp32-relay-onnx")((wrong,))
