"""The wheel of `make dist`, installed where there is nothing else."""

import subprocess
import venv

import numpy as np
import pytest

from tests.conftest import ROOT

CODE = """
import importlib.util, sys, numpy, tvm_bench
assert not any(importlib.util.find_spec(name) for name in ("torch", "tvm", "tests", "examples"))
library = tvm_bench.load(sys.argv[1])
numpy.save(sys.argv[2], library.predict([sys.argv[3]] * 2)[1][0][1])
"""


@pytest.mark.slow
def test_the_wheel_runs_a_library_in_an_empty_environment(built, tmp_path):
    subprocess.run(["make", "dist"], cwd=ROOT, check=True)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    venv.create(tmp_path / "environment", with_pip=True)
    binaries = tmp_path / "environment" / "bin"
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    artifact, image = built / "int8-relay-onnx", ROOT / "docs" / "images" / "ankle-boot.png"
    command = [binaries / "python", "-c", CODE, artifact, tmp_path / "share.npy", image]
    subprocess.run(command, cwd=tmp_path, check=True)
    share = np.load(tmp_path / "share.npy")
    for arguments, code, words in (
        (["verify", artifact], 0, "is the same to the bit"),
        (["run", artifact, image], 0, f"{share:.2%}"),
        (["build"], 2, "pip install 'tvm-bench[workbench]'"),
    ):
        done = subprocess.run([binaries / "tvm-bench", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code and words in done.stdout + done.stderr, done.stderr
