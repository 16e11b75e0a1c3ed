"""The direction of imports: cli -> workbench -> launch, the process boundary, job -> everything heavy."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tvm_bench.backends import BACKENDS

PACKAGE = ROOT / "tvm_bench"
HEAVY = {"torch", "torchvision", "tvm", "onnx", "onnxruntime", "openvino", "nncf", "safetensors"}
FOLDERS = ("cli", "report", "inspect")
# Read by the parent, which must answer --help at once and whose memory must not be its children's.
PARENT = [
    *(path.name for path in PACKAGE.glob("*.py") if path.name != "job.py"),
    "backends/__init__.py",
    *(
        str(path.relative_to(PACKAGE))
        for folder in ("cli", "report", "inspect")
        for path in (PACKAGE / folder).glob("*.py")
    ),
]
# An eager model is Python, not a file of a runtime: its backend needs what rebuilds it.
ALLOWED = {(f"backends/{name}.py", "export") for name in ("eager", "eager_cuda", "inductor")}


def imports(path):
    """Modules that a file imports, as absolute dotted names; those only for type checkers left out."""
    package = ["tvm_bench", *path.relative_to(PACKAGE).parent.parts]
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", PARENT)
def test_the_parent_imports_nothing_heavy(name):
    lazy = {"tvm_bench.backends.relay.library"} if name == "__init__.py" else set()
    found = [module for module in imports(PACKAGE / name) if module not in lazy]
    assert not [module for module in found if module.split(".")[0] in HEAVY]
    runtimes = {f"backends.{backend.module.split('.')[0]}" for backend in BACKENDS.values()}
    steps = ("models", "export", "compress", "training", *runtimes)
    assert not [module for module in found for step in steps if f"{module}.".startswith(f"tvm_bench.{step}.")]


def test_backends_know_neither_each_other_nor_the_steps_before():
    for path in (PACKAGE / "backends").rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        for module in imports(path):
            for step in ("models", "compress", "export", "training"):
                if module.startswith(f"tvm_bench.{step}"):
                    assert (name, step) in ALLOWED, f"{name} imports {module}"
            for other in ("eager", "torchscript", "inductor", "onnxruntime", "openvino", "null", "relay"):
                if module.startswith(f"tvm_bench.backends.{other}"):
                    assert other in name, f"{name} imports {module}"


def test_help_answers_at_once():
    """Under half a second with nothing heavy loaded; the bound here is for a machine that does other work too."""
    code = (
        "import sys, tvm_bench.cli; print(sorted(set(sys.modules) & {'torch', 'tvm', 'numpy', 'matplotlib', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_job_verb_exists():
    from importlib import import_module

    from tvm_bench.job import VERBS

    for target in VERBS.values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))
