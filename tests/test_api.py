"""What Python code calls: one function for each command, on the tiny network."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import tvm_bench as tb
from tests.conftest import ROOT, TINY
from tvm_bench.analysis.results import Results

SHORT = {"rounds": 2, "samples": 3, "images": 20, "threads": 1}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)  # models are imported from there


def test_compile_returns_a_library(built, tmp_path):
    options = {"data": "fashion-mnist", "frontend": "onnx", "threads": 1, "artifacts": built.parent}
    library = tb.compile(TINY, precision="int8", **options)
    assert library.manifest["precision"] == "int8" and library.manifest["frontend"] == "onnx"
    assert library.outputs[0].shape == (1, 10) and library.folder == built / "int8-relay-onnx"
    assert library.verify() == {library.outputs[0].name: 0.0}
    tb.export(library.folder, tmp_path / "application")
    assert (tmp_path / "application" / "predict.py").exists()


def test_progress_goes_to_a_function(built, capsys):
    told = []
    with tb.progress_to(lambda *what: told.append(what)):
        tb.compile(TINY, precision="int8", data="fashion-mnist", frontend="onnx", threads=1, artifacts=built.parent)
    assert {title for title, *_ in told} == {"build"} and told[-1] == ("build", 1.0, "done")
    shares = [share for _, share, _ in told]
    assert shares == sorted(shares) and len(shares) > 2 and "%" not in capsys.readouterr().err


def test_what_the_compiler_did_is_a_value(built):
    inspection = tb.inspect(built / "int8-relay-onnx")
    assert "qnn.quantize" in inspection.text("1") and "qnn.quantize" not in inspection.text(inspection.stages[-1].name)
    assert any("conv2d" in group["anchor"] for group in inspection.groups) and inspection.stages[0].label in repr(
        inspection
    )
    assert inspection.diff("1", "2").startswith(f"calls from {inspection.stages[0].label}")
    times = inspection.profile()
    assert inspection.kernels.keys() & times.keys() and min(times.values()) > 0
    assert tb.plot(inspection).axes[0].get_title(loc="left").startswith("int8-relay-onnx: ")
    with pytest.raises(tb.UserError, match="cannot draw dict"):
        tb.plot(times)
    with pytest.raises(tb.UserError, match="is no stage"):
        inspection.text("nope")
    with pytest.raises(tb.UserError, match="is not a built artifact"):
        tb.inspect(built)


def test_what_limits_a_library_and_what_changed_are_values(built):
    explanation = tb.explain(built / "int8-relay-onnx")
    assert explanation.model_ms > 0 and any(kernel.limit for kernel in explanation.kernels)
    assert tb.plot(explanation, "int8").axes[0].get_title(loc="left").startswith("int8: ")
    comparison = tb.compare(built / "fp32-relay-onnx", built / "int8-relay-onnx")
    assert tb.plot(comparison, "fp32", "int8").axes[0].get_legend_handles_labels()[1] == ["fp32", "int8"]
    assert comparison.layers[0].ms and comparison.old_ms > 0
    session = tb.explain(built / "sources" / "int8-onnx.onnx", threads=1)
    assert any(operator.name == "QLinearConv" for operator in session.operators)


def test_a_module_is_exported_and_compiled(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(), nn.ReLU()).train()
    library = tb.compile(module, input_shape=(3, 9, 9), inputs="synthetic", threads=1, artifacts=tmp_path)
    image = np.random.default_rng(0).standard_normal((1, 3, 9, 9), np.float32)
    assert module.training
    with torch.inference_mode():
        np.testing.assert_allclose(library((image,))[0], module.eval()(torch.from_numpy(image)), atol=1e-5)
    with pytest.raises(tb.UserError, match="Give input_shape"):
        tb.compile(module, artifacts=tmp_path)
    with pytest.raises(tb.UserError, match="int is no model"):
        tb.compile(3, artifacts=tmp_path)


def test_a_race_is_a_value(tmp_path):
    race = tb.bench(TINY, backends="eager,relay", precision="fp32", data="fashion-mnist", artifacts=tmp_path, **SHORT)
    assert [row.backend for row in race.rows] == ["eager", "relay"] and isinstance(race.results, Results)
    assert "2 rounds" in " ".join(race.doubts)
    verdict = race.verdict(max_rss=1)
    assert verdict.winner is None and race.headline(max_rss=1) == "No variant meets --max-rss 1."
    assert race.plot().axes and "<svg" in race._repr_html_() and "Race of 2 variants" in repr(race)
    race.save(tmp_path / "saved.json")
    loaded = tb.Race.load(tmp_path / "saved.json")
    assert [row.rounds for row in loaded.rows] == [row.rounds for row in race.rows]
    assert not any(change.regressed for change in loaded.compare(race))
    with pytest.raises(tb.UserError, match="unknown plot 'latencies'. Did you mean latency"):
        race.plot("latencies")


def test_compress_and_diff(tmp_path):
    options = {"data": "fashion-mnist", "artifacts": tmp_path, "threads": 1}
    result = tb.compress(TINY, recipe="prune-unstructured50", settings={"epochs": 0}, images=20, **options)
    before, after = result["models"]
    assert after["nonzero"] < 0.7 * before["nonzero"] and after["parameters"] == before["parameters"]
    (found,) = tb.diff(TINY, precision="fp32", **options)
    assert found.layers and not found.faults


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precison": "fp32"}, "unknown option 'precison'. Did you mean"),
        ({"precision": "int4"}, "unknown precision 'int4'"),
        ({"frontend": "tf"}, "unknown front end 'tf'"),
        ({"backends": "rely"}, "unknown backend 'rely'. Did you mean relay"),
        ({"threads": 0}, "give a number from 1 on"),
    ],
)
def test_bad_options_are_named(options, words, tmp_path):
    with pytest.raises(tb.UserError, match=words):
        tb.bench(TINY, **options, artifacts=tmp_path)
    assert not list(tmp_path.iterdir())


def test_errors_have_one_base():
    assert issubclass(tb.UserError, tb.Error) and issubclass(tb.JobError, tb.Error)


def test_no_folder_hides_a_function():
    """Python puts a folder of the package that was imported in the place of a lazy name."""
    assert not [name for name in tb.__all__ if (ROOT / "tvm_bench" / name).exists()]


def test_the_import_is_light():
    code = "import sys, tvm_bench; assert not {'torch', 'tvm', 'rich'} & set(sys.modules); print(dir(tvm_bench))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "'bench'" in done.stdout and "'compile'" in done.stdout
