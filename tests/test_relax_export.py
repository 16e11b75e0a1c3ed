"""Libraries of Relax from exported programs: beside PyTorch, and what the front end refuses."""

import json
import subprocess

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests import networks, tiny
from tests.conftest import ROOT, TINY
from tests.test_relax import built_of, needs_relax
from tvm_bench.compression import pt2e
from tvm_bench.exporters import program_file, pt2e_file
from tvm_bench.host import environments, manifest
from tvm_bench.models.tensors import flatten
from tvm_bench.spec import backends
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec
from tvm_bench.spec.variant import ModelSpec, Variant

INPUTS = (TensorSpec("x", (2, 3, 32, 32), "float32"),)


class Small(nn.Module):
    """Convolutions of all kinds with and without biases, batch norms, a shortcut, pools, a clip, a dense layer."""

    def __init__(self):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        self.second, self.second_norm = nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32)
        self.third, self.third_norm = nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False), nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.first_norm(self.first(x)))
        x = torch.relu(x + self.second_norm(self.second(x)))
        x = functional.avg_pool2d(functional.max_pool2d(x, 3, 2, 1), 2)
        x = functional.relu6(self.third_norm(self.third(x)))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def with_statistics(module):
    """`module` for inference, with batch norms that change what they read."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.running_mean, norm.bias.data):
                tensor.normal_()
            for tensor in (norm.running_var, norm.weight.data):
                tensor.uniform_(0.5, 2)
    return module.eval()


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return with_statistics(Small())


def answers(library, module):
    """The outputs of a library, and those of `module` for the same inputs."""
    with np.load(library / manifest.GOLDEN) as golden, torch.no_grad():
        arrays = [torch.from_numpy(golden[f"input_{i}"]) for i in range(len(manifest.read(library)["inputs"]))]
        right = [value.numpy() for value in flatten(module(*arrays)).values()]
        return [golden[f"output_{i}"] for i in range(len(right))], right


def schedules(library):
    return {kernel.get("schedule") for kernel in manifest.read(library)["kernels"].values()} - {None}


@pytest.fixture(scope="module")
def library(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("fp32") / "small.pt2"
    program_file.save_from_module(small, path, INPUTS)
    return built_of(path, INPUTS, ("logits",))


@needs_relax
def test_a_library_answers_as_pytorch(small, library):
    (found,), (right,) = answers(library, small)
    assert np.abs(found - right).max() < 1e-4 * np.ptp(right)
    assert schedules(library) == {"direct", "winograd4", "depthwise"}
    names = " ".join(manifest.read(library)["kernels"])
    assert "batch_norm" not in names and names.count("pack") == names.count("unpack") == 1, names


RUN = """
import sys
from pathlib import Path
import numpy as np
from tvm_bench.backends.relax import library
model = library.load(Path(sys.argv[1]), threads=1)
model([np.zeros(spec.shape, spec.dtype) for spec in model.inputs])
assert "torch" not in sys.modules
import torch
"""


@needs_relax
def test_a_library_runs_without_torch(library):
    """By itself, `import tvm` imports torch, and a process takes twice the memory."""
    subprocess.run([environments.python("relax"), "-c", RUN, library], check=True, cwd=ROOT)


@needs_relax
@pytest.mark.parametrize("vnni", [True, False])
def test_a_quantized_program_answers_as_pytorch(vnni, small, tmp_path, monkeypatch):
    """Without VNNI, values have 7 bits, and what exceeds them is clipped."""
    monkeypatch.setattr(pt2e.cpu, "has_vnni", lambda: vnni)
    samples = np.random.default_rng(0).normal(0, 0.3, (4, *INPUTS[0].shape)).astype(np.float32)
    quantized = pt2e.quantize(small, [(sample,) for sample in samples], INPUTS)
    pt2e_file.save_program(quantized, tmp_path / "small.pt2", INPUTS)
    library = built_of(tmp_path / "small.pt2", INPUTS, ("logits",), "llvm -mcpu=cascadelake" if vnni else None)
    assert schedules(library) >= ({"dot products", "depthwise"} if vnni else {"depthwise"})
    if not (library / manifest.GOLDEN).exists():
        pytest.skip("this CPU has no VNNI")
    (found,), (right,) = answers(library, pt2e_file.load_program(tmp_path / "small.pt2"))
    (_,), (unrounded,) = answers(library, small)
    assert np.abs(found - right).max() < 0.1 * np.abs(right - unrounded).max()


@needs_relax
def test_inputs_and_outputs_are_in_the_order_of_the_model(tmp_path):
    module = with_statistics(networks.TwoOfEach())
    program_file.save_from_module(module, tmp_path / "two.pt2", module.inputs)
    found, right = answers(built_of(tmp_path / "two.pt2", module.inputs, ("scores", "features")), module)
    assert [array.shape for array in found] == [array.shape for array in right]
    assert all(np.abs(one - other).max() < 1e-5 for one, other in zip(found, right, strict=True))


@needs_relax
def test_operators_that_relax_does_not_have_are_named(tmp_path):
    program_file.save_from_module(tiny.unsupported().eval(), tmp_path / "det.pt2", INPUTS)
    with pytest.raises(UserError, match=r"det.pt2: Relax does not import .*det.*--frontend"):
        built_of(tmp_path / "det.pt2", INPUTS, ("logits",))


class Scaled(nn.Module):
    """The weight of its convolution is computed."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(functional.conv2d(x, 2 * self.conv.weight))


class Shared(nn.Module):
    """One convolution for two batch norms; the third time, its output is read before its batch norm too."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.other(self.conv(self.one(self.conv(x))))
        x = self.conv(x)
        return x + self.one(x)


@pytest.mark.parametrize(("make", "left"), [(Small, 0), (Shared, 1), (Scaled, 1)])
def test_batch_norms_are_folded_where_they_may_be(make, left, tmp_path):
    module = with_statistics(make())
    program_file.save_from_module(module, tmp_path / "folded.pt2", INPUTS)
    program = torch.export.load(tmp_path / "folded.pt2")
    norms = [node for node in program.graph.nodes if "batch_norm" in str(node.target)]
    assert sum(node.op == "call_function" for node in norms) == left
    data = torch.randn(INPUTS[0].shape)
    with torch.no_grad():
        assert torch.allclose(program.module()(data), module(data), atol=1e-4)


def test_a_module_that_depends_on_values_is_refused(tmp_path):
    with pytest.raises(UserError, match="Branching cannot be exported by torch.export: .*Give --frontend onnx"):
        program_file.save_from_module(tiny.untraceable(), tmp_path / "no.pt2", INPUTS)


def test_the_front_end_selects_the_source():
    default, onnx, pytorch = (
        Variant(ModelSpec("resnet18"), "fp32", "relax", name) for name in (None, *backends.FRONTENDS)
    )
    assert [variant.label for variant in (default, onnx, pytorch)] == [
        "fp32-relax",
        "fp32-relax-onnx",
        "fp32-relax-pytorch",
    ]
    kinds = [backends.source("relax", "fp32", variant.resolved_frontend) for variant in (default, onnx, pytorch)]
    assert kinds == ["onnx", "onnx", "exported"]
    assert backends.source("relay", "int8", "pytorch") == "torchscript"


def test_diff_refuses_programs(cli, tmp_path):
    done = cli("diff", TINY, "--backend", "relax", "--frontend", "pytorch", "--artifacts", tmp_path)
    assert done.returncode == 2 and "Give --frontend onnx" in done.stderr


@needs_relax
@pytest.mark.slow
def test_it_races(cli, tmp_path):
    done = cli(
        "bench", TINY, "--data", "fashion-mnist", "--precision", "fp32,int8", "--backends", "relax",
        "--frontend", "pytorch", "--rounds", 1, "--samples", 3, "--images", 50, "--threads", 1, "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(next(tmp_path.glob("*/results.json")).read_text())["variants"]}
    for name in ("tiny-cnn/fp32-relax-pytorch", "tiny-cnn/int8-relax-pytorch"):
        assert rows[name]["status"] == "ok" and not rows[name]["flagged"], rows[name]
        assert rows[name]["frontend"] == "pytorch" and rows[name]["distances"]["source"]["median"] < 1e-3
