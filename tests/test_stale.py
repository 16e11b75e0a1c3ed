"""Nothing stale is served: a step runs again when a file that it was made from has changed, whatever kind of file."""

import os

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from tests.tiny import Tiny
from tvm_bench.exporters import onnx_file
from tvm_bench.pipeline import measurement, steps
from tvm_bench.spec.tensors import image_input
from tvm_bench.spec.variant import ModelSpec, RunSpec, Variant

NET = """
import torch
from onnx.reference import ReferenceEvaluator
from tests.tiny import Tiny
from {helper} import slope
class Net(Tiny):
    def forward(self, images):
        return super().forward(images) * slope()
def net():
    torch.manual_seed(0)
    return Net()
"""
BACKEND = """
from tvm_bench.backends import onnxruntime
from shop.helper import slope
def load(artifact, *, threads):
    run = onnxruntime.load(artifact, threads=threads)
    return lambda inputs: tuple(output * slope() for output in run(inputs))
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A user's package in the current folder, with a helper inside it and one beside it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    for name, text in (("__init__", ""), ("net", NET.format(helper="outside")), ("backend", BACKEND)):
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    for helper in (tmp_path / "outside.py", tmp_path / "shop" / "helper.py"):
        helper.write_text("def slope(): return 1.0\n")
    return tmp_path


def opened(root, model, data=None):
    spec = RunSpec(ModelSpec(str(model), data=data), ("fp32",), (), None, (1,), (1,), root / "artifacts")
    return steps.open_workbench(spec)


def onnx_answers(root, model):
    path, _ = steps.prepare(opened(root, model), "onnx", "fp32", 1)
    return ReferenceEvaluator(onnx.load(path)).run(None, {"input": np.ones((1, 3, 32, 32), "float32")})


def test_a_changed_helper_of_a_model_is_seen(shop):
    (first,) = onnx_answers(shop, "shop.net:net")
    made = (shop / "artifacts" / "net-net" / "sources" / "fp32-onnx.onnx").stat().st_mtime_ns
    onnx_answers(shop, "shop.net:net")
    assert (shop / "artifacts" / "net-net" / "sources" / "fp32-onnx.onnx").stat().st_mtime_ns == made
    (shop / "outside.py").write_text("def slope(): return 3.0\n")
    (second,) = onnx_answers(shop, "shop.net:net")
    np.testing.assert_allclose(second, 3 * first, rtol=1e-4)


def test_changed_external_weights_of_an_onnx_file_are_seen(tmp_path):
    def export(seed):
        torch.manual_seed(seed)
        onnx_file.save_from_module(Tiny().eval(), tmp_path / "whole.onnx", [image_input((3, 32, 32))])
        options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
        (tmp_path / "weights.bin").unlink(missing_ok=True)
        onnx.save_model(onnx.load(tmp_path / "whole.onnx"), tmp_path / "split.onnx", **options)
        return (tmp_path / "split.onnx").read_bytes()

    graph = export(0)
    (first,) = onnx_answers(tmp_path, tmp_path / "split.onnx")
    assert export(1) == graph, "only the weights beside the file have changed"
    (second,) = onnx_answers(tmp_path, tmp_path / "split.onnx")
    assert np.abs(second - first).max() > 1e-3


def test_a_mended_backend_is_asked_again(shop):
    bench = opened(shop, "tests.tiny:cnn", "fashion-mnist")
    variant = Variant(bench.model_spec, "fp32", "shop.backend", threads=1)
    artifact = steps.build(bench, variant)
    (path,) = measurement.answers(bench, variant)

    def answers():
        measurement.evaluate(bench, variant, artifact, limit=4, against={})
        return np.load(path)

    first = answers()
    made = path.stat().st_mtime_ns
    answers()
    assert path.stat().st_mtime_ns == made
    (shop / "shop" / "helper.py").write_text("def slope(): return 2.0\n")
    np.testing.assert_allclose(answers(), 2 * first, rtol=1e-5)
