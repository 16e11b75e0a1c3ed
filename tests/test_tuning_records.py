"""Tuning records belong to an architecture: every network with layers of the same sizes has them."""

from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.conftest import ROOT, TINY
from tvm_bench.exporters import onnx_file, onnx_layers
from tvm_bench.jobs.verbs import describe
from tvm_bench.models import layer_sizes
from tvm_bench.models.torchvision_models import architecture
from tvm_bench.pipeline import race_entrants
from tvm_bench.pipeline.workbench import LEDGER, Workbench, with_recipe
from tvm_bench.spec.sizes import Sizes
from tvm_bench.spec.tensors import image_input
from tvm_bench.spec.variant import ModelSpec, RunSpec

SHAPE = (3, 224, 224)
COMMITTED = ("resnet18", "resnet50", "mobilenet_v2")


def workbench(root, architecture="a" * 64, mcpu="znver4", logs=None, **options):
    run_spec = RunSpec(ModelSpec("m", **options), ("fp32",), (), None, (1,), (2,), root, logs or root / "logs")
    return Workbench(run_spec, {"mcpu": mcpu, "architecture": architecture})


def variant_of(bench, precision="fp32", backend="relay"):
    (variant,) = bench.run_spec.variants(precision, backend, tuned=True)
    return variant


def write_records(bench, tuner="templates", backend="relay"):
    folder = bench.records(variant_of(bench, backend=backend), tuner)
    folder.mkdir(parents=True)
    (folder / LEDGER).write_text("{}")
    return folder


def fingerprint(module, shape=SHAPE):
    return layer_sizes.fingerprint(layer_sizes.layers_of(module.eval(), [image_input(shape)]), shape)


@pytest.mark.parametrize("name", COMMITTED)
@pytest.mark.parametrize("classes", [10, 1000])
def test_committed_records_serve_all_weights_and_class_counts(name, classes, tmp_path):
    about = fingerprint(architecture(name, classes, seed=classes))
    for weights in ("default", "random", "imagenet", "runs/fine-tuned.safetensors"):
        bench = workbench(tmp_path, about, logs=ROOT / "tuning_logs", weights=weights)
        for precision in ("fp32", "int8"):
            tuned = bench.tuned_by(variant_of(bench, precision))
            assert tuned.keys() == {"templates"} and tuned["templates"].parts[-4].startswith(f"{name}-")


def test_a_module_and_its_onnx_file_are_one_architecture(tmp_path):
    module = tiny.cnn().eval()
    shape = module.input_spec.shape
    onnx_file.save_from_module(module, tmp_path / "m.onnx", [image_input(shape, 4)])
    layers = onnx_layers.layers_of(onnx_file.open_checked(tmp_path / "m.onnx", Sizes(batch=4)))
    assert len(layers) == 3 and layer_sizes.fingerprint(layers, shape) == fingerprint(module, shape)


def test_other_sizes_are_another_architecture():
    shape, wider, strided = tiny.Tiny.input_spec.shape, tiny.cnn(), tiny.cnn()
    wider.head = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Linear(32, 10))
    strided.block[0].stride = (2, 2)
    strided.stem[0].stride = (1, 1)
    strided.block.append(torch.nn.Upsample(scale_factor=2))
    prints = {fingerprint(module, shape) for module in (tiny.cnn(), tiny.three_classes())}
    assert len(prints) == 1
    prints |= {fingerprint(wider, shape), fingerprint(strided, shape), fingerprint(tiny.cnn(), (3, 64, 64))}
    assert len(prints) == 4


def test_describe_names_the_architecture_of_modules_and_onnx_files(tmp_path):
    onnx_file.save_from_module(tiny.cnn().eval(), tmp_path / "m.onnx", [image_input((3, 32, 32))])
    models = (TINY, "tests.tiny:three_classes", str(tmp_path / "m.onnx"))
    described = [describe.run(ModelSpec(model).request(), 1, False, None, 1, []) for model in models]
    assert len({about["architecture"] for about in described}) == 1
    assert len({about["fingerprint"] for about in described}) == 3


def test_a_compressed_model_of_the_same_sizes_has_the_records_of_the_one_before(tmp_path):
    bench = workbench(tmp_path)
    folder = write_records(bench)
    for recipe in ("prune-2:4", "prune-unstructured90+int8", "int8", "kmeans256"):
        assert with_recipe(bench, recipe).tuned_by(variant_of(bench)) == {"templates": folder}
    pruned = with_recipe(bench, "prune-structured50")
    assert pruned.tuned_by(variant_of(bench)) == {}
    own = write_records(pruned)
    assert own.parts[-4].startswith("m+prune-structured50-")
    assert with_recipe(bench, "distill+prune-structured50+kmeans256").tuned_by(variant_of(bench)) == {"templates": own}
    assert with_recipe(bench, "prune-structured75").tuned_by(variant_of(bench)) == {}


def test_records_are_found_whatever_the_folder_is_called(tmp_path):
    bench = workbench(tmp_path)
    folder = write_records(bench)
    renamed = folder.parents[2].rename(tmp_path / "logs" / f"mine-{folder.parts[-4][-8:]}")
    assert bench.tuned_by(variant_of(bench)) == {"templates": renamed / Path(*folder.parts[-3:])}
    assert bench.records(variant_of(bench), "metaschedule").is_relative_to(renamed)


def test_records_of_another_cpu_are_named_and_not_used(tmp_path):
    bench = workbench(tmp_path)
    write_records(bench)
    assert race_entrants._tuned_elsewhere(bench, [("fp32", "relay")]) == []
    (found,) = race_entrants._tuned_elsewhere(
        workbench(tmp_path, mcpu="skylake", weights="random"), [("fp32", "relay")]
    )
    assert found.row.status == "skipped" and found.row.tuned
    assert all(word in found.row.error for word in ("znver4-2t-b1", "skylake-2t-b1", "tvm-bench tune"))
    other = workbench(tmp_path, architecture="b" * 64, mcpu="skylake")
    assert race_entrants._tuned_elsewhere(other, [("fp32", "relay")]) == []


def test_records_of_relay_and_of_relax_are_apart(tmp_path):
    bench = workbench(tmp_path)
    relay = write_records(bench, "metaschedule")
    assert bench.tuned_by(variant_of(bench, backend="relax")) == {}
    relax = write_records(bench, "metaschedule", "relax")
    assert relax == relay.with_name("relax-metaschedule")
    assert bench.tuned_by(variant_of(bench, backend="relax")) == {"metaschedule": relax}
    assert bench.tuned_by(variant_of(bench)) == {"metaschedule": relay}
    pairs = [("fp32", "relay"), ("fp32", "relax"), ("fp32", "onnxruntime")]
    raced = [variant.label for variant in race_entrants._variants(bench, pairs) if variant.tuned]
    assert raced == ["fp32-relay-tuned", "fp32-relax-tuned"]
    (_, found) = race_entrants._tuned_elsewhere(workbench(tmp_path, mcpu="skylake"), pairs)
    assert found.variant.backend == "relax" and "tvm-bench tune --backend relax" in found.row.error
