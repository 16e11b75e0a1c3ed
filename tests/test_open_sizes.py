"""Open sizes of ONNX files in all notations, names that nearly fit, and operators without fixed shapes."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import networks
from tests.networks import Detector, Direction, Recognizer, TextMap
from tvm_bench.cli import parsing
from tvm_bench.exporters import onnx_file, onnx_opset, qdq
from tvm_bench.models import outputs
from tvm_bench.spec import task
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.sizes import Sizes
from tvm_bench.spec.tensors import TensorSpec


def graph(path, nodes, inputs, outputs, constants=()):
    """Write an ONNX file; a size may be a number, a name or None, and a shape None."""
    values = [
        [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in side] for side in (inputs, outputs)
    ]
    made = helper.make_graph(nodes, "g", *values, initializer=list(constants))
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def relu(path, shape):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return graph(path, nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, None)])


@pytest.mark.parametrize("kind", [Direction, TextMap, Recognizer])
def test_open_sizes_are_named_with_an_option_that_works(kind, tmp_path):
    path = networks.save(kind, tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"open sizes: x \[") as caught:
        onnx_file.open_checked(path, Sizes())
    (option,) = re.findall(r"--input-shape (x:[\d,]+)", str(caught.value))
    _, shapes = parsing.input_shapes(None, None, (option,))
    model = onnx_file.open_checked(path, Sizes(shapes=dict(shapes)))
    (given,), (made,) = onnx_file.inputs(model, 1), onnx_file.outputs(model, 1)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (answer,) = session.run(None, {"x": np.zeros(given.shape, np.float32)})
    assert answer.shape == made.shape and all(made.shape)


@pytest.mark.parametrize(
    "shape", [[1, 3, "?", "?"], [1, 3, "-1", "-1"], [1, 3, None, None], [1, 3, "", 0], [1, 3, -1, "h"], None]
)
def test_every_notation_of_an_open_size_is_open(shape, tmp_path):
    path = relu(tmp_path / "relu.onnx", shape)
    with pytest.raises(UserError, match="--input-shape x:1,3,224,224"):
        onnx_file.open_checked(path, Sizes())
    model = onnx_file.open_checked(path, Sizes(shapes={"x": (1, 3, 8, 6)}))
    assert onnx_file.outputs(model, 1)[0].shape == (1, 3, 8, 6)


def test_an_option_that_works_is_looked_for(tmp_path):
    """A dense layer behind the map fits one size only."""
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3 * 48 * 192, 2], np.zeros(3 * 48 * 192 * 2))
    inputs, made = [("x", TensorProto.FLOAT, ["N", 3, "h", "w_"])], [("y", TensorProto.FLOAT, None)]
    path = graph(tmp_path / "m.onnx", nodes, inputs, made, [weights])
    with pytest.raises(UserError, match=r"--input-shape x:1,3,48,192; a named size also with --dim h=SIZE"):
        onnx_file.open_checked(path, Sizes())


def test_named_sizes_are_fixed_everywhere_and_batches_by_the_batch_size(tmp_path):
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    sides = [(name, TensorProto.FLOAT, ["n", "h", "w"]) for name in "ab"]
    path = graph(tmp_path / "add.onnx", nodes, sides, [("y", TensorProto.FLOAT, ["n", "h", "w"])])
    model = onnx_file.open_checked(path, Sizes(shapes={"a": (2, 5, 7)}, batch=2))
    assert [spec.shape for spec in onnx_file.inputs(model, 2)] == [(2, 5, 7)] * 2
    model = onnx_file.open_checked(path, Sizes(dims={"h": 5, "w": 7}, batch=3))
    assert onnx_file.outputs(model, 3)[0].shape == (3, 5, 7)
    with pytest.raises(UserError, match="the dimension 'h' is to be 4 and 5"):
        onnx_file.open_checked(path, Sizes(shapes={"a": (1, 5, 7)}, dims={"h": 4}))


def test_names_that_nearly_fit(tmp_path):
    path = relu(tmp_path / "relu.onnx", [1, 3, "height", "width"])
    with pytest.raises(UserError, match="unknown dimension 'heigth'. Did you mean height"):
        onnx_file.open_checked(path, Sizes(dims={"heigth": 8}))
    with pytest.raises(UserError, match="unknown input 'X'. Allowed: x"):
        onnx_file.open_checked(path, Sizes(shapes={"X": (1, 3, 8, 8)}))
    with pytest.raises(UserError, match="is fixed at"):
        onnx_file.open_checked(path, Sizes(shapes={"x": (1, 4, 8, 8)}))
    with pytest.raises(UserError, match="is fixed at"):
        onnx_file.open_checked(path, Sizes(shapes={"x": (1, 3, 8)}))
    fixed = relu(tmp_path / "fixed.onnx", [1, 3, 8, 8])
    with pytest.raises(UserError, match="no input has a named dimension"):
        onnx_file.open_checked(fixed, Sizes(dims={"h": 8}))
    with pytest.raises(UserError, match="but the batch size is 2"):
        onnx_file.open_checked(fixed, Sizes(batch=2))


def test_shapes_that_a_file_computes_are_folded(tmp_path):
    """As exporters write a view: the shape, a size of it, and a concatenation."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "zeros"], ["m"]),
        helper.make_node("Concat", ["m", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        helper.make_tensor("zeros", TensorProto.INT64, [1], [0]),
        helper.make_tensor("rest", TensorProto.INT64, [1], [-1]),
    ]
    inputs, made = [("x", TensorProto.FLOAT, ["n", 3, 4, 4])], [("y", TensorProto.FLOAT, ["n", "k"])]
    path = graph(tmp_path / "view.onnx", nodes, inputs, made, constants)
    model = onnx_file.open_checked(path, Sizes(batch=2))
    assert [node.op_type for node in model.graph.node] == ["Reshape"]
    assert onnx_file.outputs(model, 2)[0].shape == (2, 48)


def test_a_size_that_depends_on_a_value_is_named(tmp_path):
    nodes = [
        helper.make_node("Slice", ["x", "zero", "end"], ["part"], name="cut"),
        helper.make_node("Relu", ["part"], ["y"]),
    ]
    constants = [helper.make_tensor("zero", TensorProto.INT64, [1], [0])]
    inputs = [("x", TensorProto.FLOAT, [1, 8]), ("end", TensorProto.INT64, [1])]
    path = graph(tmp_path / "cut.onnx", nodes, inputs, [("y", TensorProto.FLOAT, [None, 8])], constants)
    with pytest.raises(UserError, match=r"their inputs: Slice \(node 'cut'\)\. A compiled"):
        onnx_file.open_checked(path, Sizes())


def suppression(path):
    constants = [helper.make_tensor("most", TensorProto.INT64, [1], [10])]
    nodes = [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most"], ["kept"], name="final/nms")]
    inputs = [("boxes", TensorProto.FLOAT, [1, 20, 4]), ("scores", TensorProto.FLOAT, [1, 3, 20])]
    return graph(path, nodes, inputs, [("kept", TensorProto.INT64, [None, 3])], constants)


def test_operators_without_fixed_shapes_are_named_with_their_node(tmp_path):
    with pytest.raises(UserError, match=r"NonMaxSuppression \(node 'final/nms'\)"):
        onnx_file.open_checked(suppression(tmp_path / "nms.onnx"), Sizes())


@pytest.mark.parametrize("model", ["nms.onnx", "tests.networks:masked"])
def test_dynamic_models_are_refused_and_nothing_is_written(model, cli, tmp_path):
    suppression(tmp_path / "nms.onnx")
    name = tmp_path / model if model.endswith(".onnx") else model
    done = cli("build", "--model", name, "--precision", "fp32", "--artifacts", tmp_path / "artifacts")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "fixed shapes" in done.stderr and (
        "NonMaxSuppression" in done.stderr or "aten::index by a mask" in done.stderr
    )
    assert not [path for path in tmp_path.rglob("artifacts/**/*") if path.suffix in (".so", ".onnx", ".pt", ".npy")]


def test_a_dynamic_operator_of_a_module_is_named_with_its_path():
    torch = pytest.importorskip("torch")

    class Select(torch.nn.Module):
        def forward(self, x):
            return torch.nonzero(x)

    module = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sequential(Select()))
    with pytest.raises(UserError, match=r"aten::nonzero \(in 1\.0\)"):
        outputs(module, [TensorSpec("x", (1, 3))])


def test_the_task_is_guessed_from_the_outputs():
    image = [TensorSpec("x", (1, 3, 640, 640))]

    def guess(*shapes, inputs=image):
        return task.guess(inputs, [TensorSpec(f"y{i}", shape) for i, shape in enumerate(shapes)])

    assert guess((1, 1000)) == guess((1, 4), inputs=[TensorSpec("t", (1, 6), "int64")]) == "classification"
    assert guess((1, 22, 8400)) == guess((1, 25200, 85)) == "detection"
    assert guess((1, 8732, 4), (1, 8732, 91)) == guess((1, 300, 4), (1, 300)) == "detection"
    assert guess((1, 21, 640, 640)) == guess((1, 1, 640, 640)) == "segmentation"
    assert guess((1, 40, 97)) == guess((1, 3, 640, 640)) == guess((1, 5), (1, 8)) == "any"
    with pytest.raises(UserError, match="--task classification needs"):
        task.check("classification", [TensorSpec("y", (1, 7, 84))])
    assert networks.KINDS[Detector][0]["images"] == (3, 64, 64)


@pytest.fixture
def old(tmp_path):
    """A file of opset 11: a convolution and a squeeze, whose axes were an attribute."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Squeeze", ["p"], ["y"], axes=[2, 3]),
    ]
    weights = numpy_helper.from_array(random.standard_normal((4, 3, 3, 3)).astype("f4"), "w")
    values = [helper.make_tensor_value_info(*v) for v in (("x", 1, ["n", 3, 8, 8]), ("y", 1, ["n", 4]))]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], [weights])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    onnx.save(model, tmp_path / "old.onnx")
    return tmp_path / "old.onnx"


def test_a_file_of_an_old_opset_is_quantized_per_channel(old, tmp_path):
    model = onnx_file.open_checked(old, Sizes())
    assert model.opset_import[0].version == 13
    onnx.save(model, tmp_path / "fp32.onnx")
    batches = [(np.random.default_rng(i).standard_normal((1, 3, 8, 8)).astype("f4"),) for i in range(4)]
    qdq.quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", batches, vnni=True)
    answers = [
        onnxruntime.InferenceSession(path).run(None, {"x": batches[0][0]})[0] for path in (old, tmp_path / "int8.onnx")
    ]
    assert 0 < np.abs(answers[1] - answers[0]).max() < 0.1 * np.abs(answers[0]).max()


def test_a_conversion_that_changes_the_answers_is_not_used(old, monkeypatch):
    convert = onnx_opset.version_converter.convert_version

    def wrong(model, version):
        converted = convert(model, version)
        converted.graph.node[0].attribute[0].ints[:] = [0, 0, 2, 2]
        return converted

    monkeypatch.setattr(onnx_opset.version_converter, "convert_version", wrong)
    assert onnx_file.open_checked(old, Sizes()).opset_import[0].version == 11
