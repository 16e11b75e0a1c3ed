import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tvm_bench import data

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


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """PATH/<train|test>/<class>/<picture>: 24 and 3 of each class of Fashion-MNIST."""
    root = tmp_path_factory.mktemp("pictures")
    found = data.load("fashion-mnist", "test")
    for label in range(10):
        for number, index in enumerate((found.labels == label).nonzero()[0][:27]):
            folder = root / ("train" if number < 24 else "test") / f"class-{label}"
            folder.mkdir(parents=True, exist_ok=True)
            found.image(int(index)).save(folder / f"{number}.png")
    return root
