"""The project's passes over Relay: quantized arithmetic gives what the frameworks give."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import tvm
from onnx import TensorProto, helper, numpy_helper
from tvm import relay
from tvm.contrib import graph_executor

from tests import networks
from tvm_bench.backends.relay import compiler, passes, target

SHAPE = (1, 16, 8, 8)
SCALE = 0.0625  # a power of two: float32 has all values, so that ties are ties in every library

HALVED = {"kernel_shape": [2, 2], "strides": [2, 2]}


def run(module, **data):
    cpu_target = target.resolve(None, 1)
    module = passes.lower_quantization(module, cpu_target)
    with tvm.transform.PassContext(3):
        executor = graph_executor.GraphModule(relay.build(module, target=cpu_target)["default"](tvm.cpu()))
    executor.run(**data)
    return executor.get_output(0).numpy()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 1, 16, 7, 7)).astype(np.uint8)


def test_a_quantized_sum_is_rounded_once(images):
    left, right = (relay.var(name, shape=images[0].shape, dtype="uint8") for name in ("left", "right"))
    parameters = [(0.0401, 117), (0.0234, 3), (0.0342, 5)]
    constants = [relay.const(value) for scale, zero in parameters for value in (np.float32(scale), zero)]
    module = tvm.IRModule.from_expr(relay.qnn.op.add(left, right, *constants))
    result = run(module, left=images[0], right=images[1])
    (left_scale, left_zero), (right_scale, right_zero), (scale, zero) = parameters
    real = left_scale * (images[0].astype(float) - left_zero) + right_scale * (images[1].astype(float) - right_zero)
    assert np.abs(result - np.clip(real / scale + zero, 0, 255)).max() < 0.501


def test_a_quantized_average_is_rounded_and_not_cut_off(images):
    data = relay.var("data", shape=images[0].shape, dtype="uint8")
    pooled = relay.nn.adaptive_avg_pool2d(relay.cast(data, "int32"), (1, 1))
    result = run(tvm.IRModule.from_expr(relay.cast(pooled, "uint8")), data=images[0])
    assert np.abs(result - images[0].mean((2, 3), keepdims=True)).max() < 0.501


def steps(zero, seed=0):
    """Float data of which every value is a step of `SCALE` with the zero point `zero`."""
    values = np.random.default_rng(seed).integers(0, 256, SHAPE) - zero
    return (values * SCALE).astype(np.float32)


def qdq_model(operator, inputs, output, operand=None, **attributes):
    """Quantize and dequantize `inputs` by (scale, zero point), apply the `operator`, and do so with its `output`.

    A constant `operand` is the last input of the operator.
    """
    nodes, constants = [], [] if operand is None else [numpy_helper.from_array(np.float32(operand), "operand")]

    def pair(name, result, scale, zero):
        names = [f"{result}-scale", f"{result}-zero"]
        constants.extend(map(numpy_helper.from_array, (np.float32(scale), np.uint8(zero)), names))
        nodes.append(helper.make_node("QuantizeLinear", [name, *names], [f"{result}-quantized"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{result}-quantized", *names], [result]))

    names = [f"x{number}" for number in range(len(inputs))]
    for name, parameters in zip(names, inputs, strict=True):
        pair(name, f"{name}-steps", *parameters)
    operands = [f"{name}-steps" for name in names] + ["operand"] * (operand is not None)
    nodes.append(helper.make_node(operator, operands, ["real"], **attributes))
    pair("real", "out", *output)
    graph = helper.make_graph(
        nodes,
        "qdq",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in names],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def by_onnxruntime(model, data):
    """By the operators one by one: fused ones round ties otherwise than ONNX says if a zero point is odd."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, data)[0]


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "attributes"),
    [
        ("AveragePool", [(SCALE, 0)], (SCALE, 0), HALVED),
        ("AveragePool", [(SCALE, 117)], (SCALE, 117), HALVED),
        ("AveragePool", [(SCALE, 117)], (0.04321, 3), HALVED),
        ("AveragePool", [(SCALE, 117)], (0.04321, 3), {**HALVED, "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("GlobalAveragePool", [(SCALE, 0)], (SCALE, 0), {}),
        ("GlobalAveragePool", [(SCALE, 117)], (0.04321, 3), {}),
        ("ReduceMean", [(SCALE, 0)], (SCALE, 0), {"axes": [2, 3]}),
        ("ReduceMean", [(SCALE, 117)], (0.00321, 3), {"axes": [2, 3]}),
        ("ReduceMean", [(SCALE, 117)], (0.01321, 128), {"axes": [2, 3]}),
        ("Add", [(SCALE, 117), (SCALE, 116)], (2 * SCALE, 117), {}),
        ("Sub", [(SCALE, 117), (SCALE, 116)], (2 * SCALE, 117), {}),
        ("HardSigmoid", [(SCALE, 117)], (0.0039, 0), {}),
        ("Div", [(SCALE, 7)], (0.0511, 7), {"operand": 6}),
        ("Mul", [(0.3, 117)], (0.0653, 117), {"operand": 0.2}),
        ("Add", [(SCALE, 117)], (0.0711, 42), {"operand": 0.51}),
        ("Add", [(2 / 255, 128)], (2 / 255, 0), {"operand": 1}),  # as in GELU: 1 is 127.5 steps
    ],
)
def test_what_onnx_quantizes_is_rounded_as_onnx_says(operator, inputs, output, attributes):
    """Of averages of four, a quarter are ties; TVM alone cuts off what is left over."""
    model = qdq_model(operator, inputs, output, **attributes)
    onnx.checker.check_model(model)
    data = {f"x{number}": steps(zero, number) for number, (_, zero) in enumerate(inputs)}
    module, _ = relay.frontend.from_onnx(model, freeze_params=True)
    np.testing.assert_array_equal(run(module, **data), by_onnxruntime(model, data))


def test_pixels_between_two_steps_are_rounded_as_onnx_says():
    """Pixels from -1 to 1 with a scale of 2 / 255: nearly half of them are ties."""
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.float32) / 255
    data = {"x0": (pixels - np.float32(0.5)) / np.float32(0.5)}
    model = qdq_model("Relu", [(2 / 255, 128)], (2 / 255, 0))
    module, _ = relay.frontend.from_onnx(model, freeze_params=True)
    np.testing.assert_array_equal(run(module, **data), by_onnxruntime(model, data))


@pytest.mark.parametrize("zero", [0, 117])
@pytest.mark.parametrize("operator", ["avg_pool2d", "adaptive_avg_pool2d", "add"])
def test_what_pytorch_quantizes_is_rounded_as_by_pytorch(operator, zero):
    class Quantized(torch.nn.Module):
        def forward(self, images):
            values = torch.quantize_per_tensor(images, SCALE, zero, torch.quint8)
            if operator == "add":
                return torch.ops.quantized.add(values, values, 4 * SCALE, zero).dequantize()
            return getattr(torch.nn.functional, operator)(values, 2).dequantize()

    images = torch.from_numpy(steps(zero))
    traced = torch.jit.trace(Quantized(), images)
    module, _ = relay.frontend.from_pytorch(traced, [("images", (SHAPE, "float32"))])
    np.testing.assert_array_equal(run(module, images=images.numpy()), traced(images).numpy())


def test_the_passes_that_relay_build_leaves_out_would_change_nothing(monkeypatch):
    shape, cpu_target = (1, 3, 64, 64), target.resolve(None, 1)
    traced = torch.jit.trace(networks.detector(), torch.zeros(shape))
    module, parameters = relay.frontend.from_pytorch(traced, [("images", (shape, "float32"))])
    module["main"] = relay.build_module.bind_params_by_name(module["main"], parameters)
    module = passes.lower_quantization(module, cpu_target)
    shorter = compiler.compiled(module, cpu_target, compiler.Schedules()).fused
    monkeypatch.setattr(passes, "REPEATED", [])
    whole = compiler.compiled(module, cpu_target, compiler.Schedules()).fused
    tvm.ir.assert_structural_equal(shorter, whole)
