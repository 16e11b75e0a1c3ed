"""Each quantized operator of PyTorch, imported to Relay and fed with the same input, is within one step of PyTorch."""

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import compiler, frontend, passes, target
from tvm_bench.compression import ptq
from tvm_bench.exporters import torchscript
from tvm_bench.spec.tensors import TensorSpec, image_input

SHAPE = (16, 8, 8)
INPUTS = (image_input(SHAPE),)
# The weights of the layers. With some, a value of `second` lies so near to a tie that it is one step off already.
torch.manual_seed(0)
LAYERS = {
    "conv": nn.Conv2d(16, 16, 1),
    "depthwise": nn.Conv2d(16, 16, 5, 2, 2, groups=16),
    "dilated": nn.Conv2d(16, 16, 3, padding=2, dilation=2),
    "grouped": nn.Conv2d(16, 16, 3, padding=1, groups=4),
    "transposed": nn.ConvTranspose2d(16, 16, 2, 2),
    "linear": nn.Sequential(nn.Flatten(), nn.Linear(1024, 8), nn.ReLU()),
    "linear of three dimensions": nn.Sequential(nn.Flatten(2), nn.Linear(64, 8)),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 0.7),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "elu": nn.ELU(),
    "leaky relu": nn.LeakyReLU(0.1),
    "softmax": nn.Softmax(1),
    "batch norm": nn.BatchNorm2d(16),
    "batch norm and relu": nn.Sequential(nn.BatchNorm2d(16), nn.ReLU()),
    "layer norm": nn.LayerNorm(8),
    "instance norm": nn.InstanceNorm2d(16, affine=True),
    "maximum": nn.MaxPool2d(3, 2, 1),
    "padded average": nn.AvgPool2d(3, 2, 1),
    "average without padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average with ceil mode": nn.AvgPool2d(3, 2, ceil_mode=True),
    "adaptive average": nn.AdaptiveAvgPool2d(4),
    "channel shuffle": nn.ChannelShuffle(4),
    "pixel shuffle": nn.PixelShuffle(2),
}
if not ptq.packs_transposed():
    del LAYERS["transposed"]
FUNCTIONS = {
    "sum": lambda x, y: x + y,
    "sum and relu": lambda x, y: functional.relu(x + y),
    "product": lambda x, y: x * y,
    "product and relu": lambda x, y: functional.relu(x * y),
    "product by broadcast": lambda x, y: x * y[:, :, :1, :1],
    "matrix product": torch.matmul,
    "sum with a number": lambda x, y: x + 3.0,
    "sum that leaves the range": lambda x, y: x + 30.0,
    "product with a number": lambda x, y: x * 0.5,
    "product after a number": lambda x, y: 16 * x,
    "product with a negative number": lambda x, y: x * -0.5,
    "clamp": lambda x, y: x.clamp(-0.3, 0.4),
    "mean": lambda x, y: x.mean((2, 3), keepdim=True),
    "concatenation": lambda x, y: torch.cat([y, x], 1),
    "concatenation of chunks": lambda x, y: torch.cat([x.chunk(2, 1)[1], x.chunk(2, 1)[0]], 1),
    "shuffle by reshape": lambda x, y: x.view(-1, 2, 8, 8, 8).transpose(1, 2).contiguous().view(-1, 16, 8, 8),
    "resize": lambda x, y: functional.interpolate(x, (13, 9), mode="bilinear"),
    "chain": lambda x, y: functional.relu6(functional.avg_pool2d(functional.hardtanh(x, -1, 1), 2)),
}


class Operators(nn.Module):
    """All operators in parallel, on the same input: one library for all."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict(LAYERS)

    def forward(self, images):
        second = self.layers["conv"](images)
        results = [layer(images) for layer in self.layers.values()]
        return (*results, *(function(images, second) for function in FUNCTIONS.values()))


@pytest.fixture(scope="module")
def quantized():
    torch.manual_seed(0)
    module = Operators().eval()
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        for values, low, high in ((norm.weight, -1, 2), (norm.bias, -1, 1), (norm.running_var, 0.5, 2)):
            nn.init.uniform_(values, low, high)
    return ptq.quantize_static(module, [(images().numpy(),)], INPUTS)


def images():
    return torch.from_numpy(np.random.default_rng(0).normal(0.7, 4, (1, *SHAPE)).astype(np.float32))


def steps_of(quantized):
    """The scale of each output of the graph, as the last quantized value on the way to it has it."""
    scales = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, node):
            result = super().run_node(node)
            source = node.args[0] if node.args and isinstance(node.args[0], torch.fx.Node) else None
            if isinstance(result, torch.Tensor):
                scales[node] = result.q_scale() if result.is_quantized else scales.get(source)
            return result

    with torch.no_grad():
        Recorder(quantized).run(images())
    (output,) = (node for node in quantized.graph.nodes if node.op == "output")
    return [scales[node] for node in output.args[0]]


def imported(module, path):
    """The module as TorchScript, as Relay in integers, and its answers once it is compiled."""
    torchscript.save_traced(module, path, INPUTS)
    cpu = tvm.target.Target(f"{target.resolve(None, 1)} -opt-level=1")  # LLVM's, which takes most of the time
    lowered = passes.lower_quantization(frontend.relay_from_file(path, INPUTS), cpu)
    with tvm.transform.PassContext(3, config=compiler.lowering(lowered)):
        executor = graph_executor.GraphModule(tvm.relay.build(lowered, target=cpu)["default"](tvm.cpu()))
    executor.run(input=images().numpy())
    return [executor.get_output(i).numpy() for i in range(executor.get_num_outputs())]


def test_each_operator_is_within_one_step(quantized, tmp_path):
    results = imported(quantized, tmp_path / "operators.pt")
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in quantized(images())]
    names, errors = (*LAYERS, *FUNCTIONS), {}
    for name, result, right, step in zip(names, results, expected, steps_of(quantized), strict=True):
        errors[name] = np.abs(result - right).max() / (step or np.abs(right).max() / 255)
    assert {name: error for name, error in errors.items() if error > 1.01} == {}


def test_attention_is_traced_as_operators_that_relay_has(tmp_path):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, tokens):
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    inputs = [TensorSpec("input", (1, 4, 8))]
    torchscript.save_traced(Attention().eval(), tmp_path / "attention.pt", inputs)
    frontend.relay_from_file(tmp_path / "attention.pt", inputs)
    assert torch.backends.mha.get_fastpath_enabled(), "a module that is not traced is as fast as before"
