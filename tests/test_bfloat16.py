"""Convolutions in BF16: right where the CPU has the instructions, compiled for others, and refused where it must be."""

import json

import numpy as np
import onnx
import pytest
import torch
import tvm
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F
from tvm import relay
from tvm.contrib import graph_executor

from tests.conftest import TINY
from tvm_bench.backends.relay import bfloat16, compiler, frontend, passes, target
from tvm_bench.backends.relay.compiler import Schedules
from tvm_bench.backends.relay.schedules import bf16_dot
from tvm_bench.exporters import qdq
from tvm_bench.host.cpu import host_features, missing
from tvm_bench.measure import rounding_cost
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec

HERE = bf16_dot.KIND.feature in host_features()
on_a_cpu_with_bf16 = pytest.mark.skipif(not HERE, reason="this CPU has no avx512_bf16")


def built(output, cpu=None):
    """The BF16 module of `output`, and its build."""
    chosen = target.resolve(cpu, 2)
    module = relay.transform.InferType()(tvm.IRModule.from_expr(output))
    module = compiler.in_bf16(passes.lower_quantization(module, chosen), chosen)
    return module, compiler.compiled(module, chosen, Schedules())


def answers(build, data):
    executor = graph_executor.GraphModule(build.library["default"](tvm.cpu()))
    executor.run(data=data)
    return executor.get_output(0).numpy()


def rounded(values):
    return values.bfloat16().double()


def convolution(data, weight, **attributes):
    return relay.nn.conv2d(data, relay.const(weight), channels=len(weight), kernel_size=weight.shape[2:], **attributes)


def weights(outputs, inputs, size, seed=0):
    shape = (outputs, inputs, size, size)
    return (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(inputs * size * size)).astype(np.float32)


def test_numbers_are_rounded_as_pytorch_rounds_them():
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    ties = (np.arange(1, 2000, dtype=np.uint32) << 15 | 0x3F800000).view(np.float32)  # half of the last bit
    values = np.concatenate([values, ties, -ties, np.float32([0.0, -0.0, np.inf, -np.inf, 3e38, 1e-40])])
    expected = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(bfloat16.numpy_bits(values), expected)


@on_a_cpu_with_bf16
@pytest.mark.parametrize(
    ("shape", "outputs", "size", "strides", "padding"),
    [
        ((1, 64, 14, 14), 64, 3, (1, 1), (1, 1)),
        ((2, 16, 9, 7), 32, 3, (2, 2), (1, 1)),
        ((1, 24, 13, 11), 40, 1, (1, 1), (0, 0)),
        ((1, 6, 12, 12), 16, 5, (1, 1), (2, 2)),
        ((1, 32, 8, 8), 8, 1, (2, 2), (0, 0)),
    ],
)
def test_a_convolution_is_that_of_rounded_numbers(shape, outputs, size, strides, padding):
    data = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    weight = weights(outputs, shape[1], size)
    output = convolution(relay.var("data", shape=shape), weight, strides=strides, padding=padding)
    _, build = built(output)
    inputs = map(rounded, map(torch.from_numpy, (data, weight)))
    expected = F.conv2d(*inputs, stride=strides, padding=padding).numpy()
    unrounded = F.conv2d(*map(torch.from_numpy, (data, weight)), stride=strides, padding=padding).numpy()
    result = answers(build, data)
    assert np.abs(result - expected).max() < 1e-5
    assert np.abs(result - unrounded).max() > 1e-3, "it was computed in FP32"
    assert "vdpbf16ps" in build.factory.get_lib().get_source("asm")


@on_a_cpu_with_bf16
def test_all_readers_of_a_value_get_what_is_stored():
    data = np.random.default_rng(1).standard_normal((1, 16, 10, 10)).astype(np.float32)
    first, second = weights(32, 16, 3), weights(32, 32, 3, seed=1)
    before = relay.nn.relu(convolution(relay.var("data", shape=data.shape), first, padding=(1, 1)))
    module, build = built(relay.nn.relu(convolution(before, second, padding=(1, 1)) + before))
    image, *filters = (rounded(torch.from_numpy(array)) for array in (data, first, second))
    kept = F.conv2d(image, filters[0], padding=1).relu().float().bfloat16().double()
    expected = (F.conv2d(kept, filters[1], padding=1) + kept).relu().numpy()
    # A sum in float32 may be rounded to the neighbour.
    assert np.abs(answers(build, data) - expected).max() < 0.02
    assert str(module).count("nn.conv2d") == 2
    assert len(build.kernels) == 4, "rounding and widening are fused; only both ends have kernels for the layout"


@on_a_cpu_with_bf16
def test_values_that_are_joined_and_shuffled_before_they_are_rounded():
    """As in ShuffleNet: rounding is fused behind a concatenation that reads one of two values."""
    data = np.random.default_rng(1).standard_normal((1, 32, 10, 10)).astype(np.float32)
    first, second, last = weights(32, 32, 1), weights(32, 32, 1, seed=1), weights(16, 64, 1, seed=2)
    image = relay.var("data", shape=data.shape)
    joined = relay.concatenate([relay.nn.relu(convolution(image, kernel)) for kernel in (first, second)], axis=1)
    parts = relay.transpose(relay.reshape(joined, (1, 2, 32, 10, 10)), (0, 2, 1, 3, 4))
    _, build = built(convolution(relay.reshape(parts, (1, 64, 10, 10)), last))
    image, *kernels = (rounded(torch.from_numpy(array)) for array in (data, first, second, last))
    both = torch.cat([F.conv2d(image, kernel).relu() for kernel in kernels[:2]], 1)
    kept = both.reshape(1, 2, 32, 10, 10).transpose(1, 2).reshape(1, 64, 10, 10).float().bfloat16().double()
    assert np.abs(answers(build, data) - F.conv2d(kept, kernels[2]).numpy()).max() < 0.02


@pytest.mark.parametrize("cpu", ["znver4", "cooperlake", "sapphirerapids"])
def test_other_cpus_get_their_instructions(cpu):
    data = relay.var("data", shape=(1, 32, 14, 14))
    _, build = built(convolution(data, weights(64, 32, 3), padding=(1, 1)), f"llvm -mcpu={cpu}")
    assembly = build.factory.get_lib().get_source("asm")
    assert assembly.count("vdpbf16ps") > 10 and "vfmadd" not in assembly
    (kernel,) = [kernel for kernel in build.kernels.values() if kernel.convolution]
    assert kernel.convolution == "bf16 32->64 3x3/1 14x14 pad 1" and kernel.operations == 2 * 14 * 14 * 64 * 32 * 9


@pytest.mark.parametrize(
    ("inputs", "outputs", "groups", "words"),
    [(3, 16, 1, "three channels"), (7, 16, 1, "an odd number"), (32, 32, 32, "depthwise"), (32, 32, 2, "groups")],
)
def test_what_does_not_divide_into_vectors_stays_in_fp32(inputs, outputs, groups, words):
    data = relay.var("data", shape=(1, inputs, 8, 8))
    output = convolution(data, weights(outputs, inputs // groups, 3), groups=groups)
    chosen = target.resolve("llvm -mcpu=znver4", 2)
    module = relay.transform.InferType()(tvm.IRModule.from_expr(output))
    assert "uint16" not in str(compiler.in_bf16(module, chosen)), words


def test_a_cpu_without_the_instructions_is_refused():
    module = relay.transform.InferType()(tvm.IRModule.from_expr(relay.nn.relu(relay.var("data", shape=(1, 4)))))
    with pytest.raises(UserError, match=r"'icelake-server' has no .*avx512_bf16.* Give --precision"):
        compiler.in_bf16(module, target.resolve("llvm -mcpu=icelake-server", 2))


MIX = ("bf16:second", "third")


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    """A file with convolutions in INT8, BF16 and FP32, one after another, and its answer by ONNX Runtime."""
    folder = tmp_path_factory.mktemp("mix")
    shape, kernels = (1, 16, 12, 12), {f"w{i}": weights(32, 32 if i else 16, 3, seed=i) for i in range(4)}
    nodes, previous = [], "x"
    for i, name in enumerate(("first", "second", "third", "fourth")):
        nodes.append(helper.make_node("Conv", [previous, f"w{i}"], [f"c{i}"], name, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}"))
        previous = f"r{i}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in (("x", shape), (previous, (1, 32, 12, 12)))
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in kernels.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "fp32.onnx")
    data = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    qdq.quantize(folder / "fp32.onnx", folder / "mix.onnx", iter([(data,)]), vnni=True, excluded=MIX)
    (answer,) = rounding_cost.outputs(onnx.load(folder / "mix.onnx"), [(data,)], 1)
    return folder / "mix.onnx", data, answer


@pytest.mark.parametrize("cpu", [None, "llvm -mcpu=znver4", "llvm -mcpu=skylake-avx512"])
def test_a_mix_of_three_precisions(mix, cpu):
    path, data, answer = mix
    chosen = target.resolve(cpu, 2)
    module = frontend.relay_from_file(path, (TensorSpec("x", data.shape, "float32"),))
    build = compiler.compiled(passes.lower_quantization(module, chosen), chosen, Schedules())
    found = sorted(kernel.convolution.split()[0] for kernel in build.kernels.values() if kernel.convolution)
    has = bf16_dot.KIND.feature in target.features(chosen)
    assert found == (["bf16", "fp32", "int8", "int8"] if has else ["fp32", "fp32", "int8", "int8"])
    if not missing(target.features(chosen)):
        executor = graph_executor.GraphModule(build.library["default"](tvm.cpu()))
        executor.run(x=data)
        error = executor.get_output(0).numpy() - answer
        assert np.mean(error**2) < 1e-4 * np.mean(answer**2), "40 dB: only single values are rounded otherwise"


@pytest.mark.slow
def test_it_races(cli, tmp_path):
    done = cli(
        "bench", TINY, "--data", "fashion-mnist", "--precision", "fp32,bf16", "--backends", "eager,relay",
        "--rounds", 1, "--samples", 3, "--images", 50, "--threads", 1, "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == (0 if HERE else 1), done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(next(tmp_path.glob("*/results.json")).read_text())["variants"]}
    row = rows["tiny-cnn/bf16-relay"]
    if not HERE:
        assert row["status"] == "failed" and "avx512_bf16" in row["error"]
        return
    assert row["status"] == "ok" and not row["flagged"]
    assert 0.001 < row["distances"]["source"]["median"] < 0.05
    about = json.loads((tmp_path / "tiny-cnn/bf16-relay/manifest.json").read_text())
    assert any(kernel.get("convolution", "").startswith("bf16") for kernel in about["kernels"].values())
