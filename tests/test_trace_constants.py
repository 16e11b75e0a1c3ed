"""What a traced graph computes from constants and shapes is computed once; what depends on the input is left."""

import pytest
import torch
from torch import nn

from tvm_bench.backends.relay import frontend, target
from tvm_bench.exporters import torchscript, trace_constants
from tvm_bench.layer_diff import builds
from tvm_bench.spec.tensors import TensorSpec

SHAPE = (1, 4, 6)


class Masked(nn.Module):
    """A mask that is filled by parts, and a bias of which a part is set to zero, as in Swin Transformers."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.arange(1.0, 7.0))

    def forward(self, x):
        bias, third = self.bias.clone(), self.bias.numel() // 3
        bias[third : 2 * third].zero_()
        mask = x.new_zeros(x.shape[1:])
        for count, part in enumerate((slice(0, 1), slice(1, 3))):
            mask[part, 2:] = count + 1
        return x * mask + bias


class WritesItsInput(nn.Module):
    """A constant into which something unknown is written, after it was used."""

    def forward(self, x):
        rows = torch.ones(4, 6)
        first = x * rows
        rows[1] = 3.0
        second = x * rows
        rows[2] = x[0, 0]
        return first + 10 * second + 100 * rows


class Counts(nn.Module):
    """A module with a state: each call changes a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(6))

    def forward(self, x):
        self.calls.add_(1.0)
        return x * self.calls


class Random(nn.Module):
    def forward(self, x):
        return x + torch.rand(6)


def traced(module):
    with torch.inference_mode():
        return torch.jit.trace(module.eval(), torch.zeros(SHAPE), check_trace=False)


def kinds(module):
    return {node.kind() for node in module.graph.nodes()}


@pytest.mark.parametrize("kind", [Masked, WritesItsInput])
def test_the_answers_stay(kind):
    module = traced(kind())
    trace_constants.fold(module)
    for seed in range(3):
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(module(x), kind()(x))


def test_a_buffer_that_changes_is_no_constant():
    module = traced(Counts())
    before = module.calls.clone()
    trace_constants.fold(module)
    assert torch.equal(module.calls, before)
    assert [module(torch.ones(SHAPE))[0, 0, 0].item() - before[0].item() for _ in range(2)] == [1.0, 2.0]


def test_constants_are_folded_and_random_numbers_are_not():
    for kind, left in ((Masked, {"aten::mul", "aten::add"}), (Random, {"aten::rand", "aten::add"})):
        module = traced(kind())
        trace_constants.fold(module)
        assert {name for name in kinds(module) if name.startswith("aten::")} == left


def test_relay_computes_what_is_written_into_parts(tmp_path):
    inputs = [TensorSpec("x", SHAPE, "float32")]
    torchscript.save_traced(Masked().eval(), tmp_path / "m.pt", inputs)
    module = frontend.relay_from_file(tmp_path / "m.pt", inputs)
    (answer,) = builds.runner(builds.unfused(module, target.resolve(None, 1)))({"x": torch.ones(SHAPE).numpy()})
    assert torch.equal(torch.from_numpy(answer), Masked()(torch.ones(SHAPE)))
