"""`tvm-bench explain` of an ONNX file: which nodes ONNX Runtime computes in floats, and why."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tvm_bench.analysis.explanation import onnx_session
from tvm_bench.cli import main
from tvm_bench.measure import onnx_profile

SHAPE = (1, 16, 24, 24)


class Images(CalibrationDataReader):
    def __init__(self):
        self.images = iter([{"images": np.random.default_rng(0).random(SHAPE, np.float32)}])

    def get_next(self):
        return next(self.images, None)


def network(path, shape=SHAPE):
    """Two convolutions with an error function between them, a transposed convolution, and a convolution at the end."""
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=(16, 16, 3, 3)).astype(np.float32) / 12 for name in ("a", "b", "c", "d")}
    pads = {"pads": [1] * 4}
    nodes = [
        helper.make_node("Conv", ["images", "a"], ["first"], "/first/Conv", **pads),
        helper.make_node("Relu", ["first"], ["positive"], "/first/Relu"),
        helper.make_node("Erf", ["positive"], ["curved"], "/Erf"),
        helper.make_node("Conv", ["curved", "b"], ["second"], "/second/Conv", **pads),
        helper.make_node("ConvTranspose", ["second", "c"], ["up"], "/up/ConvTranspose", **pads),
        helper.make_node("Conv", ["up", "d"], ["scores"], "/last/Conv", **pads),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("images", "scores")]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """That network in INT8, but for its second convolution."""
    folder = tmp_path_factory.mktemp("onnx")
    options = {"weight_type": QuantType.QInt8, "nodes_to_exclude": ["/second/Conv"], "quant_format": QuantFormat.QDQ}
    quantize_static(network(folder / "fp32.onnx"), folder / "int8.onnx", Images(), **options)
    return folder / "int8.onnx"


def run(*arguments):
    return CliRunner().invoke(main, ["explain", *map(str, arguments), "--threads", "1"], catch_exceptions=False)


def test_each_product_in_floats_is_named_with_its_reason(quantized):
    done = run(quantized, "--json")
    assert done.exit_code == 0, done.output
    explained = json.loads(done.stdout)
    assert {operator["name"]: operator["nodes"] for operator in explained["operators"]}["QLinearConv"] == 2
    texts = [finding["text"] for finding in explained["findings"] if finding["name"] == "computes in FP32"]
    assert len(texts) == 2
    assert any("/second/Conv" in text and "not quantized in the file" in text for text in texts)
    assert any("/up/ConvTranspose" in text and "no integer kernel for this ConvTranspose" in text for text in texts)
    assert explained["model_ms"] > 0
    shown = run(quantized)
    assert "QLinearConv" in shown.output and "computes in FP32: /" in shown.output


def test_a_model_in_floats_is_not_quantized(tmp_path):
    done = run(network(tmp_path / "fp32.onnx"))
    assert done.exit_code == 0 and "not quantized: every node computes in floats" in done.output


def test_a_product_whose_output_is_read_as_floats():
    node = [helper.make_node("DequantizeLinear", [f"{name}_q", "scale"], [name]) for name in ("data", "weight")]
    node += [helper.make_node("Conv", ["data", "weight"], ["sums"], "conv"), helper.make_node("Relu", ["sums"], ["y"])]
    node += [helper.make_node("QuantizeLinear", ["y", "scale"], ["z"]), helper.make_node("Erf", ["y"], ["w"])]
    model = helper.make_model(helper.make_graph(node, "graph", [], []))
    assert onnx_profile.reasons(model) == {"conv": "its output is not quantized: Erf reads floats"}
    del node[-1]
    model = helper.make_model(helper.make_graph(node, "graph", [], []))
    assert onnx_profile.reasons(model) == {"conv": "ONNX Runtime has no integer kernel for this Conv"}


@pytest.mark.parametrize(("features", "found"), [(("avx2",), True), (("avx512vnni",), False)])
def test_large_weights_saturate_without_vnni(features, found, quantized):
    assert onnx_profile.has_wide_weights(onnx.load(quantized))
    nodes = [{"name": "conv", "operator": "QLinearConv", "ms": 1.0, "reads_bytes": True}]
    measured = {"nodes": nodes, "reasons": {}, "wide_weights": True, "model_ms": 1.0}
    names = [finding.name for finding in onnx_session.explain(measured, features).findings]
    assert ("sums may saturate" in names) == found


def test_conversions_that_take_time_are_named_with_what_needs_them():
    times = {"QLinearConv": (1.0, True), "QuantizeLinear": (0.5, True), "Erf": (0.4, False)}
    nodes = [{"name": name, "operator": name, "ms": ms, "reads_bytes": reads} for name, (ms, reads) in times.items()]
    measured = {"nodes": nodes, "reasons": {}, "wide_weights": False, "model_ms": 2.0}
    (finding,) = onnx_session.explain(measured, ()).findings
    assert finding.name == "conversions" and "26%" in finding.text and "Erf" in finding.text


def test_what_cannot_be_explained(tmp_path, quantized, built):
    assert "there is no file" in run(tmp_path / "none.onnx").stderr
    (tmp_path / "text.onnx").write_text("no model")
    done = run(tmp_path / "text.onnx")
    assert done.exit_code == 2 and "does not run in ONNX Runtime" in done.stderr
    path = network(tmp_path / "open.onnx", shape=("batch", 16, "height", 24))
    done = run(path)
    assert done.exit_code == 2 and "--input-shape images:1,16," in done.stderr
    assert run(path, "--dim", "height=12").exit_code == 0
    done = run(built / "fp32-relay-onnx")
    assert done.exit_code == 2 and "are for ONNX files" in done.output
