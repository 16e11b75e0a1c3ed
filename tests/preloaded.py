"""What the fork server imports before the first fork (see `forks.py`): what jobs need and what takes long to import."""

from functools import cache
from pathlib import Path

from tvm.relay.backend import te_compiler

from tests import cores
from tvm_bench import cli  # noqa: F401
from tvm_bench.backends import eager, torchscript  # noqa: F401
from tvm_bench.backends.relay import tuners  # noqa: F401
from tvm_bench.jobs import worker  # noqa: F401
from tvm_bench.jobs.verbs import build, compress, figures, measure, operators, train, tune  # noqa: F401
from tvm_bench.models.torchvision_models import import_torchvision
from tvm_bench.pipeline import compilation, compression, race  # noqa: F401

cores.share()
# Not onnxruntime, nor what imports it: it starts a thread, which no fork would have.
import_torchvision()
assert len(list(Path("/proc/self/task").iterdir())) == 1, "an import has started a thread"
# TVM reads a table of its build options for every size of every shape: a third of a small build.
te_compiler.libinfo = cache(te_compiler.libinfo)
