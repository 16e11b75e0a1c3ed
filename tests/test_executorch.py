"""The backend `executorch`: files with several inputs and outputs, its threads, and what it refuses."""

import subprocess

import numpy as np
import pytest
import torch

from tests import programs
from tests.conftest import ROOT
from tvm_bench.exporters import program_file
from tvm_bench.host import environments
from tvm_bench.jobs import launcher
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec

pytestmark = pytest.mark.skipif(
    not environments.versions("executorch"), reason="the environment is not built: make executorch"
)
CALL = """
import sys
from pathlib import Path
import numpy as np
from tvm_bench import backends
from tvm_bench.spec.errors import UserError
artifact, samples, answers = map(Path, sys.argv[1:])
run, other = (backends.load("executorch", artifact, threads=3) for _ in range(2))
with np.load(samples) as arrays:
    given = tuple(arrays.values())
outputs = run(given)
other(tuple(np.zeros_like(array) for array in given))
np.savez(answers, *outputs)
try: backends.load("executorch", artifact, threads=1)
except UserError as error: print(error)
run(given)
"""


class TwoOfEach(torch.nn.Module):
    """Two inputs and two outputs, whose alphabetic order is not theirs; XNNPACK has no layer norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = torch.nn.Conv2d(3, 64, 3), torch.nn.Linear(7, 4)
        self.norm = torch.nn.LayerNorm(7)

    def forward(self, z_image, a_vector):
        return self.norm(self.conv(z_image)), self.linear(a_vector)


def inputs_of(batch):
    return (TensorSpec("z_image", (batch, 3, 13, 9), "float32"), TensorSpec("a_vector", (batch, 7), "float32"))


def random_arrays(inputs, seed=0):
    random = np.random.default_rng(seed)
    return tuple(random.uniform(-1, 1, spec.shape).astype(np.float32) for spec in inputs)


def prepared(folder, module, batch, precision, quantization=None):
    """The `.pte` file of a module, calibrated on samples in a file, and the receipt."""
    inputs, source, out = inputs_of(batch), folder / "module.pt2", folder / f"{precision}.pte"
    program_file.save_from_module(module, source, inputs)
    samples = folder / "samples.npz"
    many = random_arrays(inputs_of(64 * batch), seed=1)
    np.savez(samples, **{spec.name: array for spec, array in zip(inputs, many, strict=True)})
    receipt = programs.prepare("executorch", precision, source, out, inputs, samples, quantization)
    return out, receipt


def called(artifact, given):
    """The answers of a file that is open twice, and what is said if it is opened for other threads."""
    samples, answers = artifact.with_suffix(".in.npz"), artifact.with_suffix(".out.npz")
    np.savez(samples, *given)
    command = [environments.python("executorch"), "-c", CALL, artifact, samples, answers]
    environment = launcher.child_environment(1)
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    with np.load(answers) as arrays:
        return list(arrays.values()), done.stdout


@pytest.mark.parametrize(("precision", "batch", "close"), [("fp32", 3, 1e-5), ("int8", 1, 0.05)])
def test_inputs_and_outputs_are_in_the_order_of_the_model(precision, batch, close, tmp_path):
    torch.manual_seed(0)
    module = TwoOfEach().eval()
    artifact, receipt = prepared(tmp_path, module, batch, precision)
    given = random_arrays(inputs_of(batch))
    answers, said = called(artifact, given)
    for answer, right in zip(answers, module(*map(torch.from_numpy, given)), strict=True):
        distance = np.linalg.norm(answer - right.detach().numpy()) / right.detach().norm()
        assert distance <= close and (precision == "fp32" or distance > 1e-4)
    assert "3 threads in this process since the first file was opened, and 1 were asked for" in said
    method = receipt["result"]["quantization"]
    assert method is None if precision == "fp32" else "XNNPACKQuantizer" in method["method"]


def test_options_of_int8_are_refused(tmp_path):
    with pytest.raises(UserError, match="the INT8 of executorch .*Give --recipe int8 without options, or other"):
        prepared(tmp_path, TwoOfEach(), 1, "int8", {"precision": "int8", "observer": "minmax"})


def test_a_program_that_cannot_be_read_is_named(tmp_path):
    source = tmp_path / "broken.pt2"
    source.write_bytes(b"no program")
    with pytest.raises(UserError, match=r"cannot lower '.*broken.pt2': .*Give other --backends"):
        programs.prepare("executorch", "fp32", source, tmp_path / "out.pte", inputs_of(1))
    assert not list(tmp_path.glob("*.pte"))
