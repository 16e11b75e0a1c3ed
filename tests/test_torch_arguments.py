"""Arguments of PyTorch's operators that TVM ignores: the answers are PyTorch's, or the operator is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tvm_bench.backends.relay import frontend
from tvm_bench.exporters import torchscript
from tvm_bench.layer_diff import builds
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec

SHAPE = (2, 3, 5, 7)
STATISTICS = {"running_mean": torch.tensor([0.3, -1, 2]), "running_var": torch.tensor([0.5, 2, 9])}
KERNEL = torch.arange(72.0).sin().view(4, 3, 2, 3)
RIGHT = {
    "add alpha": lambda x: torch.add(x, x.flip(0), alpha=2.5),
    "add alpha to a number": lambda x: torch.add(x, 3, alpha=2),
    "add": lambda x: x + x.flip(0),
    "div floor": lambda x: torch.div(x, 0.3, rounding_mode="floor"),
    "div trunc": lambda x: torch.div(x, x.flip(0), rounding_mode="trunc"),
    "div of integers": lambda x: torch.div((x * 9).int(), 4, rounding_mode="floor").float(),
    "quotient of integers": lambda x: (x * 9).int() / 4,
    "var": lambda x: x.var(dim=1),
    "biased std": lambda x: x.std(dim=(2, 3), correction=0, keepdim=True),
    "instance norm": lambda x: F.instance_norm(x),
    "instance norm by statistics": lambda x: F.instance_norm(x, **STATISTICS, use_input_stats=False),
    "layer norm": lambda x: F.layer_norm(x, (7,), torch.arange(7.0), torch.ones(7)),
    "layer norm of several axes": lambda x: F.layer_norm(x, SHAPE[1:], torch.arange(105.0).view(SHAPE[1:])),
    "layer norm without weights": lambda x: F.layer_norm(x, (5, 7)),
    "gelu": lambda x: F.gelu(x),
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "mish": lambda x: F.mish(x * 50),
    "same padding": lambda x: F.conv2d(x, KERNEL, padding="same"),
    "valid padding": lambda x: F.conv2d(x, KERNEL, padding="valid", stride=2),
    "same padding with dilation": lambda x: F.conv2d(x, KERNEL, torch.ones(4), padding="same", dilation=(2, 1)),
    "resize by a factor": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "resize to a size": lambda x: F.interpolate(x, (8, 9), mode="bilinear"),
    "resize by a factor from the sizes": lambda x: F.interpolate(x, scale_factor=0.6, recompute_scale_factor=True),
}
REFUSED = {
    "batch norm": (lambda x: F.batch_norm(x, None, None, training=True), "a batch norm by the statistics of the batch"),
    "var": (lambda x: x.var(dim=1, correction=2), "a variance with a correction of 2"),
    "average pool": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "an average pool with divisor_override"),
    "resize": (lambda x: F.interpolate(x, scale_factor=0.6), "a resize with a scale_factor that gives fractions"),
}


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def imported(function, path):
    torchscript.save_traced(Of(function).eval(), path, [TensorSpec("x", SHAPE)])
    return frontend.relay_from_file(path, [TensorSpec("x", SHAPE)])


@pytest.mark.parametrize("name", RIGHT)
def test_it_answers_as_pytorch(name, tmp_path):
    x = torch.randn(SHAPE)
    (result,) = builds.runner(builds.unfused(imported(RIGHT[name], tmp_path / "m.pt")))({"x": x.numpy()})
    np.testing.assert_allclose(result, RIGHT[name](x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_tvm_would_ignore_is_refused(name, tmp_path):
    function, words = REFUSED[name]
    with pytest.raises(UserError, match=words):
        imported(function, tmp_path / "m.pt")
