"""Models that are no classifiers of images, from the file to the report: outputs of any shape, inputs of any dtype."""

import contextlib
import json

import numpy as np
import pytest
import torch

import tvm_bench
from tests import networks
from tests.conftest import ROOT
from tests.networks import Detector, Direction, Recognizer, TextMap, TwoOfEach, Words
from tvm_bench.backends import eager
from tvm_bench.compression import ptq
from tvm_bench.exporters import module_file, torchscript
from tvm_bench.exporters.module_call import call
from tvm_bench.host import cpu
from tvm_bench.jobs.verbs import classify
from tvm_bench.models.shapes import shapes_of
from tvm_bench.pipeline import race
from tvm_bench.spec.constraints import Constraints
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec
from tvm_bench.spec.variant import ModelSpec, RunSpec

RULES = race.Rules(rounds=1, samples=3, warmup=1)
# The options that fix the open sizes, the guessed task, and the names of the parts that are compared.
KINDS = {
    Direction: ({"shapes": (("x", (1, 3, 48, 96)),)}, "classification", ["logits"]),
    Detector: ({}, "detection", ["output, boxes", "output, scores"]),
    TextMap: ({"dims": (("height", 32), ("width", 64))}, "segmentation", ["output"]),
    Recognizer: ({"shapes": (("x", (1, 3, 16, 64)),)}, "any", ["output"]),
    TwoOfEach: ({}, "any", ["scores", "features"]),
    Words: ({}, "classification", ["logits"]),
}
SLOW = {Direction, Recognizer, TextMap, Words}


def raced(model_spec, root, backends, precisions, frontends=()):
    run_spec = RunSpec(model_spec, precisions, frontends, None, (1,), (1,), root)
    with contextlib.chdir(ROOT):
        results, files = race.run(run_spec, backends, RULES, "test", Constraints())
    return results, files[0].read_text()


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in KINDS]
)
def test_an_onnx_file_from_file_to_report(kind, tmp_path):
    options, task, names = KINDS[kind]
    np.savez(tmp_path / "samples.npz", **networks.arrays(kind, 12, seed=1))
    model = networks.save(kind, tmp_path / "model.onnx")
    model_spec = ModelSpec(str(model), samples=str(tmp_path / "samples.npz"), **options)
    results, page = raced(model_spec, tmp_path, ("onnxruntime", "relay"), ("fp32", "int8"))
    assert results.settings["task"] == task and f"task: {task}" in page
    assert all(row.ok and row.rounds for row in results.variants), [row.error for row in results.variants]
    for row in results.variants:
        assert row.flagged is None, row.flagged
        errors = row.output_errors["reference"]
        assert [output["name"] for output in errors] == names and errors[0]["images"] == 12
        assert all(output["sqnr_db"] > (80 if row.precision == "fp32" else 15) for output in errors), errors
    int8 = next(row for row in results.variants if (row.precision, row.backend) == ("int8", "relay"))
    assert int8.output_errors["reference"][0]["sqnr_db"] < 80, "INT8 that equals FP32 is not INT8"
    assert "SQNR dB to" in page and "Top-1" not in page.partition("## What each figure")[0]
    assert results.settings["inputs"]["timed"].endswith("samples.npz")


def test_a_module_with_two_inputs_and_a_dictionary_of_outputs(tmp_path):
    model_spec = ModelSpec("tests.networks:two_of_each", samples="synthetic")
    backends = ("eager", "torchscript", "onnxruntime", "relay")
    results, page = raced(model_spec, tmp_path, backends, ("fp32",), ("onnx", "pytorch"))
    assert {row.name.rpartition("/")[2] for row in results.variants if row.ok and row.flagged is None} == {
        "fp32-eager", "fp32-torchscript", "fp32-onnxruntime", "fp32-relay-onnx", "fp32-relay-pytorch",
    }  # fmt: skip
    for row in results.variants:
        assert [output["name"] for output in row.output_errors["reference"]] == ["scores", "features"]
    assert "The inputs are synthetic" in page
    folder = tmp_path / "networks-two_of_each" / "fp32-relay-pytorch"
    about = json.loads((folder / "manifest.json").read_text())
    assert [(spec["name"], spec["shape"]) for spec in about["inputs"]] == [("image", [1, 3, 16, 16]), ("scale", [1, 2])]
    with np.load(folder / "golden.npz") as golden:
        assert sorted(golden.files) == ["input_0", "input_1", "output_0", "output_1"]
        library, inputs = tvm_bench.load(folder), (golden["input_0"], golden["input_1"])
        assert all(np.array_equal(golden[f"output_{i}"], output) for i, output in enumerate(library(inputs)))
    with pytest.raises(UserError, match=r"a tuple of 2 arrays: image float32 \(1, 3, 16, 16\), scale"):
        library(inputs[0])
    with pytest.raises(UserError, match=r"the input image is float32 \(1, 2\)"):
        library(inputs[::-1])
    with pytest.raises(UserError, match="is no classifier of images"):
        classify.run(str(folder), [], 1, 1)


MODULES = {"detector": Detector, "text_map": TextMap, "recognizer": Recognizer, "words": Words}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_modules_by_both_front_ends(name, tmp_path):
    """Their inputs have the names, shapes and dtypes of the samples."""
    np.savez(tmp_path / "samples.npz", **networks.arrays(MODULES[name], 12, seed=1))
    model_spec = ModelSpec(f"tests.networks:{name}", samples=str(tmp_path / "samples.npz"))
    results, _ = raced(model_spec, tmp_path, ("eager", "relay"), ("fp32",), ("onnx", "pytorch"))
    assert len(results.variants) == 3
    assert all(row.ok and row.flagged is None for row in results.variants), results.variants


@pytest.mark.parametrize("name", [*MODULES, "two_of_each"])
def test_modules_of_all_kinds_are_quantized_stored_and_traced(name, tmp_path):
    kind = MODULES.get(name, TwoOfEach)
    module, samples = networks.made(kind), networks.arrays(kind, 8, seed=1)
    inputs = [TensorSpec(key, (1, *array.shape[1:]), array.dtype.name) for key, array in samples.items()]
    if kind is TextMap and not cpu.has_vnni():
        with pytest.raises(UserError, match="transposed convolutions.*--frontend onnx"):
            ptq.quantize_static(module, [tuple(samples.values())], inputs)
        return
    quantized = ptq.quantize_static(module, [tuple(samples.values())], inputs)
    path, options = tmp_path / "q.pt", {"model": f"tests.networks:{name}", "classes": 0, "precision": "int8"}
    module_file.save(quantized, path, inputs=inputs, sizes=shapes_of(module), **options)
    torchscript.save_traced(module_file.load(path), tmp_path / "q.ts", inputs)
    first = tuple(array[:1] for array in samples.values())
    int8, fp32 = eager.load(path, threads=1)(first), call(module, map(torch.from_numpy, first))
    traced = torch.jit.load(tmp_path / "q.ts")(*map(torch.from_numpy, first))
    assert len(int8) == len(fp32) == (1 if isinstance(traced, torch.Tensor) else len(traced))
    for answer, right in zip(int8, fp32, strict=True):
        error = np.linalg.norm(answer - right.detach().numpy()) / right.norm().item()
        assert 0 < error < 0.1


def test_a_wrong_output_among_several_is_found(tmp_path):
    """The second output is right, and the first belongs to another sample."""
    np.savez(tmp_path / "samples.npz", **networks.arrays(TwoOfEach, 6, seed=1))
    networks.save(TwoOfEach, tmp_path / "model.onnx")
    model_spec = ModelSpec(str(tmp_path / "model.onnx"), samples=str(tmp_path / "samples.npz"))
    results, page = raced(model_spec, tmp_path, ("onnxruntime", "tests.cheats.first_output"), ("fp32",))
    honest, cheat = results.variants
    assert honest.flagged is None and cheat.flagged.startswith("output scores: ")
    assert "Disqualified" in page
