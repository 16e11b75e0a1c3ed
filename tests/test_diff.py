"""`diff` finds planted faults at the right layer and names their kind, and finds nothing in right networks."""

import numpy as np
import onnx
import pytest
import tvm
from onnx import TensorProto, helper, numpy_helper
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from tvm_bench.backends.relay import passes, target
from tvm_bench.diff.comparison import accumulated, compared
from tvm_bench.diff.faulty_layers import IMPORT, faults
from tvm_bench.diff.severed_onnx import OnnxSource

SHAPE = (1, 8, 14, 14)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("TOPHUB_LOCATION", "NONE")


class Qdq:
    """Builds a QDQ network layer by layer, with the kinds of parameters that ONNX Runtime's quantization writes."""

    def __init__(self):
        self.nodes, self.constants, self.random = [], [], np.random.default_rng(0)

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def pair(self, name, scale, zero):
        parameters = [self.constant(f"{name}.scale", np.float32(scale)), self.constant(f"{name}.zero", np.uint8(zero))]
        self.node("QuantizeLinear", [name, *parameters], f"{name}.q")
        return self.node("DequantizeLinear", [f"{name}.q", *parameters], f"{name}.dq")

    def convolution(self, data, name, scale, zero, *, relu=True):
        weights = self.random.integers(-127, 128, (8, 8, 3, 3)).astype(np.int8)
        scales = self.random.uniform(0.001, 0.003, 8).astype(np.float32)
        parameters = [self.constant(f"{name}.ws", scales), self.constant(f"{name}.wz", np.zeros(8, np.int8))]
        weight = self.constant(f"{name}.w", weights)
        real = self.node("DequantizeLinear", [weight, *parameters], f"{name}.wdq", axis=0)
        pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        result = self.node("Conv", [data, real], f"{name}.conv" if relu else name, **pads)
        return self.pair(self.node("Relu", [result], name) if relu else result, scale, zero)

    def network(self):
        data = self.pair("input", 0.02, 128)
        first = self.convolution(data, "first", 0.012, 0)
        second = self.convolution(first, "second", 0.03, 131, relu=False)
        total = self.pair(self.node("Add", [first, second], "sum"), 0.031, 120)
        last = self.node("GlobalAveragePool", [self.convolution(total, "third", 0.06, 0)], "average")
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "qdq",
            [value("input", TensorProto.FLOAT, SHAPE)],
            [value(self.pair(last, 0.03, 0), TensorProto.FLOAT, (1, 8, 1, 1))],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "qdq.onnx"
    onnx.save(Qdq().network(), path)
    return OnnxSource.of(path)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(1)
    return [{"input": random.standard_normal(SHAPE).astype(np.float32)} for _ in range(2)]


def results(source, images, tmp_path):
    cpu = target.resolve(None, 1)
    rows = compared(source, images, cpu, lambda _: None)
    return rows, faults(source, rows, images, cpu, tmp_path)


def test_a_right_network_has_no_wrong_layer(source, images, tmp_path):
    rows, found = results(source, images, tmp_path)
    assert [row.name for row in rows] == [
        "input.q", "first.conv", "second", "sum", "third.conv", "average", "average.dq",
    ]  # fmt: skip
    assert not found
    assert all(row.relay.largest <= 1 and row.library.largest <= 1 for row in rows)
    assert all(row.largest <= 2 for row in accumulated(source, images, target.resolve(None, 1)) if row.unit == "steps")


class Planted(ExprMutator):
    """Changes calls of `operator` by `change(call)`: all of them, or those for which `where` holds."""

    def __init__(self, operator, change, where=lambda call: True):
        super().__init__()
        self.operator, self.change, self.where = operator, change, where

    def visit_call(self, call):
        result = super().visit_call(call)
        if getattr(call.op, "name", "") == self.operator and self.where(call):
            return self.change(result)
        return result


def planted_in_lowering(monkeypatch, operator, change):
    """Change operators of the imported module before it is lowered: the front end would have made the fault."""
    lower = passes.lower_quantization

    def with_fault(module, cpu):
        module = relay.transform.FakeQuantizationToInteger()(relay.transform.InferType()(module))
        main = Planted(operator, change).visit(module["main"])
        return lower(relay.transform.InferType()(tvm.IRModule.from_expr(main)), cpu)

    monkeypatch.setattr(passes, "lower_quantization", with_fault)


def argument(call, index, change):
    arguments = [change(value) if number == index else value for number, value in enumerate(call.args)]
    return relay.Call(call.op, arguments, call.attrs, call.type_args, call.span)


def shifted(constant):
    return relay.const(constant.data.numpy() + 3, constant.data.dtype)


def cut_off(call):
    """The sums of a convolution, converted without rounding; other calls stay as they are."""
    data, scale, _, out_scale, out_zero = call.args
    if not scale.data.shape:
        return call
    scaled = relay.cast(data, "float32") * relay.reshape(scale / out_scale, (1, -1, 1, 1))
    return relay.cast(relay.clip(relay.floor(scaled) + relay.cast(out_zero, "float32"), 0, 255), "uint8")


def half_range(call):
    return relay.clip(call, 0, 127)


def swapped(call):
    return relay.transpose(call, (0, 1, 3, 2))


def padded_with_zero(call):
    """Zero instead of the zero point."""
    padded = relay.nn.pad(call.args[0], ((0, 0), (0, 0), (1, 1), (1, 1)), 0)
    attributes = {key: call.attrs[key] for key in ("kernel_size", "channels", "out_dtype")}
    return relay.qnn.op.conv2d(padded, *call.args[1:], padding=(0, 0), **attributes)


@pytest.mark.parametrize(
    ("kind", "operator", "change", "first"),
    [
        ("rounding", "qnn.requantize", cut_off, "first.conv"),
        ("zero point", "qnn.requantize", lambda call: argument(call, 4, shifted), "first.conv"),
        ("zero point", "qnn.conv2d", lambda call: argument(call, 2, shifted), "first.conv"),
        ("padding", "qnn.conv2d", padded_with_zero, "first.conv"),
        ("saturation", "qnn.requantize", half_range, "first.conv"),
        ("layout", "qnn.add", swapped, "sum"),
    ],
)
def test_a_fault_of_the_import_is_found_and_named(kind, operator, change, first, source, images, tmp_path, monkeypatch):
    planted_in_lowering(monkeypatch, operator, change)
    rows, found = results(source, images, tmp_path)
    assert found[0].layer == first
    assert (found[0].stage, found[0].kind) == (IMPORT, kind), found[0].evidence
    assert found[0].alone
    model, arrays = found[0].files
    values = np.load(arrays)
    fed = {value.name: values[value.name] for value in onnx.load(model).graph.input}
    (expected,) = OnnxSource.of(model).run(fed)
    np.testing.assert_array_equal(expected, values["expected"])
    assert (values["expected"] != values["relay"]).any()
