import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# Two busy threads that wait for each other are slower than one on tensors as small as these.
torch.set_num_threads(1)

ROOT = Path(__file__).parent.parent
TINY = "tests.tiny:cnn"


@pytest.fixture(scope="session")
def cli():
    """Run the real command line in the checkout, as a user does; returns the finished process."""

    def run(*arguments, cwd=ROOT, environment=None, timeout=600):
        return subprocess.run(
            [sys.executable, "-m", "tvm_bench", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            text=True,
            capture_output=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def built(cli, tmp_path_factory):
    """The tiny network's libraries, both precisions by both front ends: artifacts/tiny-cnn/<variant>."""
    root = tmp_path_factory.mktemp("artifacts")
    done = cli("build", "--model", TINY, "--data", "fashion-mnist", "--frontend", "onnx,pytorch", "--artifacts", root)
    assert done.returncode == 0, done.stderr
    return root / "tiny-cnn"
