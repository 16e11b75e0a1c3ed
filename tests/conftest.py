import fcntl
import os

import pytest
import torch

from tests import cores, forks
from tests.forks import ROOT
from tvm_bench import data
from tvm_bench.jobs import launcher

cores.share()
os.environ["TOPHUB_LOCATION"] = "NONE"  # as in jobs: else TVM looks for schedules on the network
# Two busy threads that wait for each other are slower than one on tensors as small as these.
torch.set_num_threads(1)

TINY = "tests.tiny:cnn"


# Files that take minutes begin first, so that one of them does not run alone at the end.
LONGEST = (
    "test_tuning",
    "test_rpc",
    "test_backends",
    "test_cheats",
    "test_schedules",
    "test_compress_command",
    "test_race",
)


def pytest_collection_modifyitems(items):
    first = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.stem, len(first)))


@pytest.fixture(autouse=True, scope="module")
def jobs_in_forks(request):
    """Start jobs as forks (see `forks.py`), except those of a module's `NEW_PROCESSES`: a tuple of verbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "subprocess", forks.patched(getattr(request.module, "NEW_PROCESSES", ())))
        yield


@pytest.fixture(scope="module")
def cli(request):
    """Run the command line in the checkout, as a user does, in a fork; returns the finished process."""

    def run(*arguments, cwd=ROOT, environment=None, timeout=600):
        environment = {**os.environ, **(environment or {})}
        fresh = getattr(request.module, "NEW_PROCESSES", ())
        return forks.command([*map(str, arguments)], cwd=cwd, environment=environment, timeout=timeout, fresh=fresh)

    return run


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Make a folder once for all of xdist's workers: `shared(name, make)` returns it after `make(folder)`."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def once(name, make):
        folder = root / "shared" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (root / "shared" / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (done := root / "shared" / f"{name}.done").exists():
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def built(shared):
    """The tiny network's libraries, both precisions by both front ends: artifacts/tiny-cnn/<variant>."""

    def build(root):
        options = ("--data", "fashion-mnist", "--frontend", "onnx,pytorch", "--threads", "1")
        arguments = ["build", "--model", TINY, *options, "--artifacts", str(root)]
        done = forks.command(arguments, cwd=ROOT, environment=dict(os.environ), timeout=600)
        assert done.returncode == 0, done.stderr

    return shared("artifacts", build) / "tiny-cnn"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """PATH/<train|test>/<class>/<image>: 24 and 3 images of each class of Fashion-MNIST."""
    root = tmp_path_factory.mktemp("pictures")
    found = data.load("fashion-mnist", "test")
    for label in range(10):
        for number, index in enumerate((found.labels == label).nonzero()[0][:27]):
            folder = root / ("train" if number < 24 else "test") / f"class-{label}"
            folder.mkdir(parents=True, exist_ok=True)
            found.image(int(index)).save(folder / f"{number}.png")
    return root
