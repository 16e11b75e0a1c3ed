"""The backend `litert`: its files in its environment, and what it refuses. test_backends.py has the contract."""

import subprocess
from dataclasses import asdict

import numpy as np
import pytest
import torch

from tests import programs
from tests.conftest import ROOT
from tvm_bench.exporters import program_file
from tvm_bench.host import environments
from tvm_bench.jobs import launcher
from tvm_bench.spec import backends, formats
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.recipe import Quantize
from tvm_bench.spec.tensors import TensorSpec

needs_litert = pytest.mark.skipif(
    not environments.versions("litert"), reason="the environment is not built: make litert"
)
BATCH = 3
INPUTS = (
    TensorSpec("z_image", (BATCH, 3, 13, 9), "float32"),
    TensorSpec("a_vector", (BATCH, 7), "float32"),
    TensorSpec("m_tokens", (BATCH, 5), "int64", high=20),
)
RUN = """
import sys
from pathlib import Path
import numpy as np
from tvm_bench import backends
given = np.load(sys.argv[2])
run = backends.load("litert", Path(sys.argv[1]), threads=1)
np.savez(sys.argv[3], *run(tuple(given[name] for name in sys.argv[4:])))
"""


class Many(torch.nn.Module):
    """Three inputs and twelve outputs, whose alphabetic order is not theirs, and integers among both."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = torch.nn.Conv2d(3, 10, 3), torch.nn.Linear(7, 4)
        self.table = torch.nn.Embedding(20, 4)

    def forward(self, z_image, a_vector, m_tokens):
        dense = self.linear(a_vector) + self.table(m_tokens).mean(1)
        return torch.relu(self.conv(z_image)), m_tokens.sum(1), *(dense * i for i in range(2, 12))


class Shared(torch.nn.Module):
    """An output that another is computed from."""

    def forward(self, vector):
        doubled = vector * 2
        return doubled, doubled * 3


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The exported program of `Many`, its samples as a file, and its answers to the first batch of them."""
    folder = tmp_path_factory.mktemp("many")
    torch.manual_seed(0)
    module, random = Many().eval(), np.random.default_rng(0)
    program_file.save_from_module(module, folder / "many.pt2", INPUTS)
    samples = {
        spec.name: random.integers(0, spec.high, (12, *spec.sample_shape))
        if spec.high
        else random.standard_normal((12, *spec.sample_shape)).astype(np.float32)
        for spec in INPUTS
    }
    np.savez(folder / "samples.npz", **samples)
    with torch.no_grad():
        answers = module(*(torch.from_numpy(array[:BATCH]) for array in samples.values()))
    return folder / "many.pt2", folder / "samples.npz", [answer.numpy() for answer in answers]


def prepared(out, parent, precision, samples=None, inputs=INPUTS, **quantization):
    """The receipt of the job that writes the file `out`."""
    options = asdict(Quantize("int8", **quantization)) if quantization else None
    return programs.prepare("litert", precision, parent, out, inputs, samples, options)


def answers_of(artifact, samples, folder):
    """What the backend answers, in its environment, to the first batch of the samples."""
    np.savez(folder / "given.npz", **{name: array[:BATCH] for name, array in np.load(samples).items()})
    names = [spec.name for spec in INPUTS]
    command = [environments.python("litert"), "-c", RUN, artifact, folder / "given.npz", folder / "answers.npz", *names]
    subprocess.run(command, env=launcher.child_environment(1), cwd=ROOT, check=True)
    return list(np.load(folder / "answers.npz").values())


@needs_litert
def test_inputs_and_outputs_are_in_the_order_of_the_model_in_both_precisions(many, tmp_path):
    program, samples, expected = many
    assert prepared(tmp_path / "fp32.tflite", program, "fp32")["result"] == {"quantization": None}
    exact = answers_of(tmp_path / "fp32.tflite", samples, tmp_path)
    assert [answer.dtype for answer in exact] == [right.dtype for right in expected]
    for answer, right in zip(exact, expected, strict=True):
        np.testing.assert_allclose(answer, right, rtol=1e-5, atol=1e-5)
    receipt = prepared(tmp_path / "int8.tflite", tmp_path / "fp32.tflite", "int8", samples)
    assert "per channel" in receipt["result"]["quantization"]["weights"]
    rounded = answers_of(tmp_path / "int8.tflite", samples, tmp_path)
    for answer, right in zip(rounded, expected, strict=True):
        assert answer.dtype == right.dtype
        assert np.abs(answer - right).max() <= 0.03 * np.ptp(right)
    assert any(not np.array_equal(*pair) for pair in zip(rounded, exact, strict=True)), "nothing was rounded"


@needs_litert
def test_what_cannot_be_converted_or_quantized_is_said(many, tmp_path):
    (tmp_path / "broken.pt2").write_bytes(b"no program")
    with pytest.raises(UserError, match=r"LiteRT cannot convert '.*broken.pt2'.*Give other --backends"):
        prepared(tmp_path / "fp32.tflite", tmp_path / "broken.pt2", "fp32")
    with pytest.raises(UserError, match=r"the INT8 of litert .*always per channel"):
        prepared(tmp_path / "int8.tflite", many[0], "int8", many[1], per_channel=False)
    with pytest.raises(UserError, match="INT8 needs samples for calibration"):
        prepared(tmp_path / "int8.tflite", many[0], "int8")
    assert not list(tmp_path.glob("*.tflite"))


@needs_litert
def test_a_file_that_the_quantizer_spoils_is_not_written(tmp_path):
    inputs = (TensorSpec("vector", (BATCH, 7), "float32"),)
    program_file.save_from_module(Shared().eval(), tmp_path / "shared.pt2", inputs)
    np.savez(tmp_path / "samples.npz", vector=np.random.default_rng(0).standard_normal((6, 7)).astype(np.float32))
    prepared(tmp_path / "fp32.tflite", tmp_path / "shared.pt2", "fp32")
    with pytest.raises(UserError, match=r"cannot run what its quantizer makes of '.*Give --precision fp32"):
        prepared(tmp_path / "int8.tflite", tmp_path / "fp32.tflite", "int8", tmp_path / "samples.npz", inputs)
    assert not (tmp_path / "int8.tflite").exists()


def test_a_file_is_made_where_its_backend_runs_or_here():
    for backend in backends.BACKENDS.values():
        for precision in backend.precisions:
            made = formats.FORMATS.get((backend.source, precision))
            assert made is None or made.environment in (None, backend.environment)
