"""`diff` finds planted faults at the right layers and names their kinds, and finds nothing in right networks."""

import json
from dataclasses import asdict

import numpy as np
import onnx
import pytest
import tvm
from onnx import TensorProto, helper, numpy_helper
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from tvm_bench.analysis.results import Row
from tvm_bench.backends.relay import passes, target
from tvm_bench.layer_diff.builds import Relay
from tvm_bench.layer_diff.comparison import accumulated, compared
from tvm_bench.layer_diff.faulty_layers import COMPILE, IMPORT, KERNEL, faults
from tvm_bench.layer_diff.numbers import errors
from tvm_bench.layer_diff.severed_onnx import OnnxSource
from tvm_bench.pipeline.race import with_layers
from tvm_bench.report import layer_errors as report
from tvm_bench.spec.layer_errors import LayerErrors

SIZE = 14
SHAPE = (1, 8, SIZE, SIZE)


class Qdq:
    """Builds a QDQ network layer by layer, with parameters as ONNX Runtime's quantization writes them."""

    def __init__(self):
        self.nodes, self.constants, self.random = [], [], np.random.default_rng(0)
        self.weights = {}  # of convolutions by name

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

    def convolution(self, data, name, scale, zero, *, relu=False):
        self.weights[name] = self.random.integers(-127, 128, (8, 8, 3, 3)).astype(np.int8)
        scales = self.random.uniform(0.0006, 0.0015, 8).astype(np.float32)
        parameters = [self.constant(f"{name}.ws", scales), self.constant(f"{name}.wz", np.zeros(8, np.int8))]
        weight = self.constant(f"{name}.w", self.weights[name])
        real = self.node("DequantizeLinear", [weight, *parameters], f"{name}.wdq", axis=0)
        self.node("Conv", [data, real], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        return self.pair(self.node("Relu", [name], f"{name}.relu") if relu else name, scale, zero)

    def source(self, output, shape, path):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "qdq",
            [value("input", TensorProto.FLOAT, SHAPE)],
            [value(output, TensorProto.FLOAT, shape)],
            self.constants,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return OnnxSource.of(path)


def test_a_rounding_of_nearly_equal_floats_is_no_fault():
    source = np.full(8, 0.5, np.float32)
    source[0] = np.nextafter(np.float32(0.5), np.float32(1))  # as a sigmoid of small numbers
    assert not errors(np.full(8, 0.5, np.float32), source).wrong
    assert errors(source * np.float32(1 + 1e-5), source).wrong


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(1)
    return [{"input": random.standard_normal(SHAPE).astype(np.float32)} for _ in range(2)]


def test_a_right_network_has_no_wrong_layer(images, tmp_path):
    network = Qdq()
    data = network.pair("input", 0.02, 128)
    first = network.convolution(data, "first", 0.012, 0, relu=True)
    second = network.convolution(first, "second", 0.015, 131)
    total = network.pair(network.node("Add", [first, second], "sum"), 0.016, 120)
    average = network.pair(network.node("GlobalAveragePool", [total], "average"), 0.01, 100)
    source = network.source(average, (1, 8, 1, 1), tmp_path / "qdq.onnx")
    cpu = Relay(target.resolve(None, 1))
    rows = compared(source, images, cpu, lambda _: None)
    assert [row.name for row in rows] == ["input.q", "first", "second", "sum", "average", "average.dq"]
    assert not any(row.wrong for row in rows) and not faults(source, rows, images, cpu, tmp_path)
    whole = [row.accumulated for row in accumulated(source, rows, images, cpu)]
    assert all(errors.largest <= 2 for errors in whole if errors.unit == "steps")
    assert whole[0].unit == "steps" and whole[-1].unit == "range"


@pytest.mark.parametrize("zero", [126, 133])
def test_averages_between_two_steps_are_no_fault(zero, images, tmp_path):
    """With the same scale before and after, a quarter of the averages of four values are."""
    network = Qdq()
    data = network.pair("input", 0.0947, zero)
    pooled = network.pair(
        network.node("AveragePool", [data], "average", kernel_shape=[2, 2], strides=[2, 2]), 0.0947, zero
    )
    source = network.source(pooled, (1, 8, SIZE // 2, SIZE // 2), tmp_path / "average.onnx")
    cpu = Relay(target.resolve(None, 1))
    rows = compared(source, images, cpu, lambda _: None)
    (average,) = (row for row in rows if row.name == "average")
    assert average.source_inexact and average.library.share > 0.02 and not any(row.wrong for row in rows)
    assert not faults(source, rows, images, cpu, tmp_path)
    layer = next(layer for layer in source.layers if layer.name == "average")
    values = source.record(images[0])
    steps = values[layer.inputs[0]].astype(int).reshape(1, 8, SIZE // 2, 2, SIZE // 2, 2).sum((3, 5))
    even = [2 * (step // 8) + (step % 8 > 2) + (step % 8 > 5) for step in (steps - 4 * zero).flat]
    np.testing.assert_array_equal(source.exact(layer, values).flat, np.clip(np.array(even) + zero, 0, 255))


# Faults before lowering, as a front end could make them.


def argument(call, index, change):
    arguments = [change(value) if number == index else value for number, value in enumerate(call.args)]
    return relay.Call(call.op, arguments, call.attrs, call.type_args, call.span)


def shifted(constant):
    return relay.const(constant.data.numpy() + 3, constant.data.dtype)


def cut_off(call):
    """The sums of a convolution, converted without rounding."""
    data, scale, _, out_scale, out_zero = call.args
    scaled = relay.cast(data, "float32") * relay.reshape(scale / out_scale, (1, -1, 1, 1))
    return relay.cast(relay.clip(relay.floor(scaled) + relay.cast(out_zero, "float32"), 0, 255), "uint8")


def padded_with_zero(call):
    """The bytes, with 0 instead of the zero point."""
    padded = relay.nn.pad(call.args[0], ((0, 0), (0, 0), (1, 1), (1, 1)), 0)
    attributes = {key: call.attrs[key] for key in ("kernel_size", "channels", "out_dtype")}
    return relay.qnn.op.conv2d(padded, *call.args[1:], padding=(0, 0), **attributes)


# Faults of kernels: operators that are fused with the convolution, after its output is quantized.


def half_range(value):
    return relay.minimum(value, relay.const(127, "uint8"))


def swapped(value):
    return relay.transpose(value, (0, 1, 3, 2))


def three_more(value):
    return relay.cast(relay.minimum(relay.cast(value, "int32") + relay.const(3), relay.const(255)), "uint8")


def lowest_bit_off(value):
    one = relay.const(1, "uint8")
    return relay.left_shift(relay.right_shift(value, one), one)


def wrong_border(value):
    return value * relay.const(np.pad(np.ones((SIZE - 2, SIZE - 2), np.uint8), 1))


IN_IMPORT = {  # the operator before lowering, and what is done to it
    "c0": ("rounding", "qnn.requantize", cut_off),
    "c1": ("zero point", "qnn.requantize", lambda call: argument(call, 4, shifted)),
    "c2": ("padding", "qnn.conv2d", padded_with_zero),
    "c3": ("saturation", "qnn.requantize", half_range),
    "c4": ("layout", "qnn.requantize", swapped),
    "c5": ("zero point", "qnn.conv2d", lambda call: argument(call, 2, shifted)),
}
IN_KERNELS = {
    "c0": ("rounding", lowest_bit_off),
    "c1": ("zero point", three_more),
    "c2": ("padding", wrong_border),
    "c3": ("saturation", half_range),
    "c4": ("layout", swapped),
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Seven convolutions. Zero points are above 0, so that padding with 0 is wrong. Returns the weights too."""
    network = Qdq()
    data = network.pair("input", 0.02, 128)
    for number in range(7):
        data = network.convolution(data, f"c{number}", 0.02, 120)
    return network.source(data, SHAPE, tmp_path_factory.mktemp("chain") / "chain.onnx"), network.weights


def convolution_in(expression, weights):
    """The name of the only convolution that `expression` computes, by its weights; None if there is none."""
    names = []

    def visit(node):
        if isinstance(node, relay.Constant) and node.data.numpy().size == 8 * 8 * 9:
            total = node.data.numpy().astype(int).sum()
            names.extend(name for name, values in weights.items() if values.astype(int).sum() == total)

    relay.analysis.post_order_visit(expression, visit)
    return names[0] if names else None


class PlantedInImport(ExprMutator):
    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def visit_call(self, call):
        result = super().visit_call(call)
        _, operator, change = IN_IMPORT.get(convolution_in(call, self.weights), ("", "", None))
        return change(result) if getattr(call.op, "name", "") == operator else result


def of_import(module, weights):
    module = relay.transform.FakeQuantizationToInteger()(relay.transform.InferType()(module))
    main = PlantedInImport(weights).visit(module["main"])
    return relay.transform.InferType()(tvm.IRModule.from_expr(main))


def of_kernels(module, weights):
    main = module["main"]
    outputs = list(main.body.fields) if isinstance(main.body, relay.Tuple) else [main.body]
    for index, output in enumerate(outputs):
        if str(output.checked_type.dtype) == "uint8" and (name := convolution_in(output, weights)) in IN_KERNELS:
            outputs[index] = IN_KERNELS[name][1](output)
    body = relay.Tuple(outputs) if len(outputs) > 1 else outputs[0]
    return relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function(main.params, body)))


def results(chain, images, folder):
    source, _ = chain
    rows = compared(source, images, Relay(target.resolve(None, 1)), lambda _: None)
    return rows, faults(source, rows, images, Relay(target.resolve(None, 1)), folder)


def test_faults_of_the_import_are_found_and_named(chain, images, tmp_path, monkeypatch):
    lower, weights = passes.lower_quantization, chain[1]
    monkeypatch.setattr(passes, "lower_quantization", lambda module, cpu: lower(of_import(module, weights), cpu))
    rows, found = results(chain, images, tmp_path)
    assert [row.name for row in rows if row.wrong] == [fault.layer for fault in found]
    assert {fault.layer: fault.kind for fault in found} == {name: row[0] for name, row in IN_IMPORT.items()}, found
    assert all(fault.stage == IMPORT and fault.alone for fault in found)
    model, arrays = found[0].files
    values = np.load(arrays)
    fed = {value.name: values[value.name] for value in onnx.load(model).graph.input}
    np.testing.assert_array_equal(OnnxSource.of(model).run([fed])[0], values["expected"])
    assert (values["expected"] != values["relay"]).any()


def test_faults_of_kernels_are_found_and_named(chain, images, tmp_path, monkeypatch):
    convert, weights = passes.convert_layouts, chain[1]
    monkeypatch.setattr(passes, "convert_layouts", lambda module, layout: convert(of_kernels(module, weights), layout))
    _, found = results(chain, images, tmp_path)
    assert {fault.layer: fault.kind for fault in found} == {name: row[0] for name, row in IN_KERNELS.items()}, found
    assert all(fault.stage == KERNEL and fault.alone for fault in found)


# Layers that do not compile.


def fails_at_c3(weights):
    layouts = passes.convert_layouts

    def converted(module, layout):
        outputs = module["main"].body.fields if isinstance(module["main"].body, relay.Tuple) else [module["main"].body]
        if any(convolution_in(output, weights) == "c3" for output in outputs):
            raise RuntimeError("Traceback (most recent call last):\n  a stack\nthe reason")
        return layouts(module, layout)

    return converted


def test_a_layer_that_does_not_compile_costs_only_its_own_row(chain, images, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "convert_layouts", fails_at_c3(chain[1]))
    rows, (fault,) = results(chain, images, tmp_path)
    assert [row.name for row in rows if row.wrong] == ["c3"] == [row.name for row in rows if row.failure]
    assert all(row.library.largest <= 1 for row in rows if not row.failure)
    assert (fault.layer, fault.kind, fault.stage, fault.evidence) == ("c3", COMPILE, KERNEL, "RuntimeError: the reason")
    model, arrays = fault.files
    values = np.load(arrays)
    fed = {value.name: values[value.name] for value in onnx.load(model).graph.input}
    np.testing.assert_array_equal(OnnxSource.of(model).run([fed])[0], values["expected"])


def test_an_operator_that_relay_does_not_have(images, tmp_path):
    network = Qdq()
    network.constant("weight", network.random.normal(size=(8, 8, 3, 3)).astype(np.float32))
    data = network.node("Conv", ["input", "weight"], "first", pads=[1, 1, 1, 1])
    data = network.node("LpNormalization", [data], "norm", axis=1)
    data = network.node("GlobalAveragePool", [network.node("Conv", [data, "weight"], "second")], "average")
    source, cpu = network.source(data, (1, 8, 1, 1), tmp_path / "norm.onnx"), Relay(target.resolve(None, 1))
    rows = accumulated(source, compared(source, images, cpu, lambda _: None), images, cpu)
    assert [row.name for row in rows] == ["first", "norm", "second", "average"]
    assert [row.accumulated is None for row in rows] == [row.wrong for row in rows] == [False, True, False, False]
    (fault,) = faults(source, rows, images, cpu, tmp_path)
    assert fault.stage == IMPORT and fault.evidence.startswith("TVM 0.19 does not support") and len(fault.files) == 2
    row = with_layers(Row("norm/int8-relay", "int8", "relay"), {"layers": [asdict(row) for row in rows]})
    assert row.layers is None and row.layers_missing.startswith("1 of 4 do not compile alone, first norm: TVM 0.19")
    page = report.page("norm", rows, None, [fault])
    assert "| ! norm | LpNormalization | does not compile |" in page
    assert "compile error, by import and lowering. TVM 0.19 does not support these operators: LpNormalization." in page
    assert [LayerErrors.from_dict(json.loads(json.dumps(asdict(row)))) for row in rows] == rows
