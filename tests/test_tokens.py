"""What transformers need: matrix products of tokens, layer norm and attention, on sizes that do not divide evenly."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional as F
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import compiler, frontend, passes, target
from tvm_bench.backends.relay.compiler import Schedules
from tvm_bench.backends.relay.schedules import attention, dense, layer_norm
from tvm_bench.exporters import onnx_file, onnx_folding, torchscript
from tvm_bench.spec.tensors import TensorSpec


def run(output, *arrays, cpu=None):
    """Build `output`, whose variables are named a, b, ...; returns its answer and the names of its kernels."""
    build = compiler.compiled(
        tvm.IRModule.from_expr(relay.Function(relay.analysis.free_vars(output), output)),
        target.resolve(cpu, 2),
        Schedules(),
    )
    executor = graph_executor.GraphModule(build.library["default"](tvm.cpu()))
    executor.run(**dict(zip("abc", arrays, strict=False)))
    return executor.get_output(0).numpy(), " ".join(build.kernels)


def variables(*arrays):
    return [relay.var(name, shape=a.shape, dtype=str(a.dtype)) for name, a in zip("abc", arrays, strict=False)]


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(1, 40, 48), (3, 17, 10), (7, 17, 32), (49, 40, 48), (50, 64, 80), (197, 48, 96), (13, 50, 50)],
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_product_of_any_number_of_rows_is_right(rows, inputs, outputs, precision):
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (rows, inputs)).astype(np.uint8)
    weight = random.integers(-128, 128, (outputs, inputs)).astype(np.int8)
    bias, out = random.integers(-1000, 1000, outputs).astype(np.int32), "int32"
    expected = np.maximum(data.astype(np.int64) @ weight.T.astype(np.int64) + bias, 0)
    if precision == "fp32":
        data, weight, bias, out = data.astype(np.float32), weight.astype(np.float32), bias.astype(np.float32), "float32"
    (a,) = variables(data)
    output = relay.nn.relu(relay.nn.dense(a, relay.const(weight), out_dtype=out) + relay.const(bias))
    result, _ = run(output, data)
    np.testing.assert_allclose(result, expected, rtol=0 if precision == "int8" else 1e-5)


def test_a_tile_fits_the_registers_and_divides_the_outputs():
    for rows in (4, 7, 49, 50, 196, 197, 3136):
        for blocks in (1, 2, 3, 5, 6, 48, 192):
            for registers in (8, 16, 32):
                r, b = dense.tile(rows, blocks, registers)
                assert blocks % b == 0 and r * b + b + 1 <= registers


@pytest.mark.parametrize(("channels", "window"), [(64, 2), (64, 7), (256, 7)])
def test_tokens_of_windows_become_an_image(channels, window):
    tokens, other = np.random.default_rng(0).random((2, 1, 196, channels), dtype=np.float32)
    count = 14 // window
    a, b = variables(tokens, other)
    windows = relay.reshape(a + b + relay.const(np.ones(channels, np.float32)), (count, count, window, window, -1, 1))
    rows = relay.reshape(relay.transpose(windows, (0, 2, 1, 3, 4, 5)), (14, 14, channels))
    result, _ = run(relay.reshape(relay.transpose(rows, (2, 0, 1)), (1, channels, 14, 14)), tokens, other)
    expected = (tokens + other + 1).reshape(count, count, window, window, channels).transpose(4, 0, 2, 1, 3)
    np.testing.assert_array_equal(result, expected.reshape(1, channels, 14, 14))


@pytest.mark.parametrize(("rows", "inputs"), [(49, 96), (5, 50), (3, 7), (2, 768)])
def test_layer_norm_is_one_kernel_with_what_follows(rows, inputs):
    random = np.random.default_rng(0)
    data = random.normal(3, 1, (rows, inputs)).astype(np.float32)
    scale, shift = random.standard_normal((2, inputs)).astype(np.float32)
    (a,) = variables(data)
    norm = layer_norm.call(a, relay.const(scale), relay.const(shift), 1e-5)
    result, kernels = run(relay.nn.relu(norm), data)
    arrays = [torch.from_numpy(array).double() for array in (data, scale, shift)]
    np.testing.assert_allclose(result, F.layer_norm(arrays[0], (inputs,), *arrays[1:]).relu(), atol=2e-5)
    assert "layer_norm" in kernels and " " not in kernels


@pytest.mark.parametrize(
    ("queries", "keys", "depth", "bias"),
    [
        (50, 50, 64, (1, 1, 50)),
        (8, 197, 64, (1, 1, 197)),
        (49, 49, 32, (2, 49, 49)),
        (7, 9, 16, (4, 7, 9)),
        (1, 33, 48, (1, 1, 33)),
        (16, 16, 16, (1, 1, 16)),
    ],
)
@pytest.mark.parametrize("cpu", [None, "llvm -mcpu=haswell"], ids=["this CPU", "AVX2"])
def test_attention_of_any_number_of_tokens_is_right(queries, keys, depth, bias, cpu):
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((4, n, depth)).astype(np.float32) for n in (queries, keys, keys)]
    bias = random.standard_normal(bias).astype(np.float32)
    result, kernels = run(attention.call(*variables(*arrays), bias), *arrays, cpu=cpu)
    mask = torch.from_numpy(np.tile(bias, (4 // len(bias), 1, 1))).double()
    tensors = [torch.from_numpy(array).double() for array in arrays]
    np.testing.assert_allclose(result, F.scaled_dot_product_attention(*tensors, mask, scale=1.0), atol=1e-5)
    assert "attention" in kernels


class Transformer(nn.Module):
    """Images in patches, one block with a shift of the tokens and a mask, and a class for the mean token."""

    def __init__(self, heads=2, width=32, scores="mask"):
        super().__init__()
        self.heads, self.scores = heads, scores
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.inputs, self.outputs = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.last = nn.Linear(width, 5)
        self.register_buffer("bias", torch.randn(heads, 25, 25))
        self.register_buffer("mask", torch.rand(2, 25, 25).lt(0.3) * -100.0)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)  # (1, 50, width)
        tokens = tokens + self.outputs(self.attention(torch.roll(self.norms[0](tokens), 3, 1)))
        tokens = tokens + self.mlp(self.norms[1](tokens))
        return self.last(tokens.mean(dim=1))

    def attention(self, tokens):
        batch, count, width = tokens.shape
        windows = self.inputs(tokens).reshape(2, count // 2, 3, self.heads, width // self.heads)
        query, key, value = windows.permute(2, 0, 3, 1, 4)
        if self.scores == "fused":
            result = F.scaled_dot_product_attention(query, key, value, self.mask[:, None] >= 0)
        elif self.scores == "einsum":
            scores = torch.einsum("b h i d, b h j d -> b h i j", query, key * (width // self.heads) ** -0.5)
            result = torch.einsum("b h i j, b h j d -> b h i d", (scores + self.bias).softmax(dim=-1), value)
        else:
            scores = query * (width // self.heads) ** -0.5 @ key.transpose(-2, -1)
            scores = scores + self.bias.unsqueeze(0)
            if self.scores == "mask":
                scores = (scores[None] + self.mask[None, :, None]).view(-1, self.heads, count // 2, count // 2)
            result = scores.softmax(dim=-1) @ value
        return result.transpose(1, 2).reshape(batch, count, width)


@pytest.mark.parametrize("source", ["onnx", "torchscript"])
@pytest.mark.parametrize("scores", ["bias", "mask", "fused", "einsum"])
def test_a_transformer_is_right_by_both_front_ends(source, scores, tmp_path):
    torch.manual_seed(0)
    module, shape = Transformer(scores=scores).eval(), (1, 3, 20, 40)
    inputs = [TensorSpec("input", shape)]
    path = Path(tmp_path, "model.onnx" if source == "onnx" else "model.pt")
    (onnx_file.save_from_module if source == "onnx" else torchscript.save_traced)(module, path, inputs)
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    relay_module = passes.lower_quantization(frontend.relay_from_file(path, inputs), target.resolve(None, 2))
    build = compiler.compiled(relay_module, target.resolve(None, 2), Schedules())
    executor = graph_executor.GraphModule(build.library["default"](tvm.cpu()))
    executor.set_input(0, image)
    executor.run()
    with torch.inference_mode():
        np.testing.assert_allclose(executor.get_output(0).numpy(), module(torch.from_numpy(image)), atol=1e-5)
    kernels = " ".join(build.kernels)
    assert "layer_norm" in kernels and "variance" not in kernels
    if (source, scores) != ("onnx", "fused"):  # PyTorch's exporter writes a softmax that takes NaN for 0
        assert "attention" in kernels and "softmax" not in kernels and "batch_matmul" not in kernels
    assert any("dense" in name and "erf" in name for name in build.kernels), "bias and GELU in the product's kernel"


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("bik, bkj -> bij", (3, 4, 5), (3, 5, 6)),
        ("kib, bjk -> jbi", (5, 4, 3), (3, 6, 5)),
        ("ik, kj -> ji", (4, 5), (5, 6)),
        ("bik, k -> bi", (3, 4, 5), (5,)),
        ("bhikl, bjlkh -> bhij", (2, 3, 4, 5, 6), (2, 7, 6, 5, 3)),
        ("ik, kj", (4, 5), (5, 6)),
        ("bik, jk -> ij", (3, 4, 5), (6, 5)),
        ("ii, ij -> ij", (4, 4), (4, 5)),
        ("b..., b... -> ...", (3, 4), (3, 4)),
        ("ik, jk -> ij", (4, 5), (6, 1)),
    ],
)
def test_sums_by_letters_are_right(equation, left, right):
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in (left, right)]
    result, kernels = run(relay.einsum(variables(*arrays), equation), *arrays)
    right = np.broadcast_to(arrays[1], (6, 5)) if arrays[1].shape == (6, 1) else arrays[1]
    np.testing.assert_allclose(result, np.einsum(equation, arrays[0], right), atol=1e-5)
    is_product = equation not in ("ik, kj", "bik, jk -> ij", "ii, ij -> ij", "b..., b... -> ...", "ik, jk -> ij")
    assert ("batch_matmul" in kernels) == is_product


class Attention(nn.MultiheadAttention):
    def forward(self, tokens):
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


def test_attention_of_pytorch_is_converted(tmp_path):
    layer, shape, path = Attention(32, 2, batch_first=True).eval(), (1, 9, 32), tmp_path / "layer.pt"
    torchscript.save_traced(layer, path, [TensorSpec("tokens", shape)])
    assert "aten::scaled_dot_product_attention" in str(torch.jit.load(path).inlined_graph)
    tokens = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    module = frontend.relay_from_torchscript(path, [TensorSpec("tokens", shape)])
    executor = relay.create_executor("graph", module, tvm.cpu(), "llvm").evaluate()
    with torch.inference_mode():
        np.testing.assert_allclose(executor(tokens).numpy(), layer(torch.from_numpy(tokens)), atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (2, 3, 5, 8)])
def test_a_linear_layer_keeps_its_weights_once(shape, bias, tmp_path):
    layer, path, inputs = nn.Linear(8, 6, bias=bias).eval(), tmp_path / "layer.pt", [TensorSpec("x", shape)]
    torchscript.save_traced(layer, path, inputs)
    module = relay.transform.FoldConstant()(frontend.relay_from_torchscript(path, inputs))
    constants = []
    relay.analysis.post_order_visit(
        module["main"], lambda e: constants.append(e.data.numpy().size) if isinstance(e, relay.Constant) else None
    )
    assert sorted(constants) == ([6] if bias else []) + [48]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    executor = relay.create_executor("graph", module, tvm.cpu(), "llvm").evaluate()
    with torch.inference_mode():
        np.testing.assert_allclose(executor(x).numpy(), layer(torch.from_numpy(x)), atol=1e-6)


@pytest.mark.parametrize("transposed", [True, False], ids=["transposed", "plain"])
@pytest.mark.parametrize(("rows", "inputs", "columns"), [(7, 17, 5), (50, 16, 49), (1, 3, 33), (5, 4, 16)])
def test_a_product_of_batches_is_right_with_what_follows(rows, inputs, columns, transposed):
    random = np.random.default_rng(0)
    left = random.standard_normal((3, rows, inputs)).astype(np.float32)
    right = random.standard_normal((3, inputs, columns)).astype(np.float32)
    arrays = left, np.ascontiguousarray(right.transpose(0, 2, 1)) if transposed else right
    product = relay.nn.batch_matmul(*variables(*arrays), transpose_b=transposed)
    expected = left.astype(np.float64) @ right
    np.testing.assert_allclose(run(product, *arrays)[0], expected, atol=1e-5)
    np.testing.assert_allclose(run(relay.nn.relu(product), *arrays)[0], np.maximum(expected, 0), atol=1e-5)


class Masked(nn.Module):
    """A mask that the exporter writes as nodes, like that of shifted windows."""

    def forward(self, images):
        mask = images.new_zeros(images.shape[-2:])
        mask[:2, 1:] = 1.0
        return images * mask


def test_masks_and_shapes_are_computed_before_the_import(tmp_path):
    inputs, path = [TensorSpec("input", (1, 1, 4, 4))], tmp_path / "masked.onnx"
    onnx_file.save_from_module(Masked(), path, inputs)
    assert "ScatterND" in {node.op_type for node in onnx.load(path).graph.node}
    assert [node.op_type for node in onnx_folding.opened(path).graph.node] == ["Mul"]
    images = np.ones((1, 1, 4, 4), np.float32)
    executor = relay.create_executor("graph", frontend.relay_from_file(path, inputs), tvm.cpu(), "llvm").evaluate()
    np.testing.assert_array_equal(executor(images).numpy(), Masked()(torch.ones(1, 1, 4, 4)))


def test_products_of_quantized_activations_stay_in_float():
    def dequantized(name):
        data = relay.var(name, shape=(2, 5, 16), dtype="uint8")
        return relay.qnn.op.dequantize(data, relay.const(0.1), relay.const(3))

    product = relay.nn.batch_matmul(dequantized("a"), dequantized("b"))
    output = relay.qnn.op.quantize(product, relay.const(0.5), relay.const(7), out_dtype="uint8")
    lowered = passes.lower_quantization(tvm.IRModule.from_expr(output), target.resolve(None, 2))
    calls = []
    relay.analysis.post_order_visit(lowered["main"], calls.append)
    (found,) = [call for call in calls if getattr(getattr(call, "op", None), "name", "") == "nn.batch_matmul"]
    assert found.checked_type.dtype == "float32"
    assert tvm.ir.Op.get("nn.batch_matmul").get_attr("FTVMFakeQuantizationToInteger")
