"""The house and its rules: which room may import which, and what runs in the parent and what in a worker."""

import ast
import importlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tvm_bench.jobs import receipts

PACKAGE = ROOT / "tvm_bench"
HEAVY = {"torch", "torchvision", "tvm", "onnx", "onnxruntime", "openvino", "nncf", "ncnn", "MNN"}
HEAVY |= {"safetensors", "sklearn"}
HEAVY |= {"executorch", "litert_torch", "ai_edge_litert", "ai_edge_quantizer"}
# Which rooms each room may import. The first two rows serve both sides of the process boundary; then the steps of a
# model, each of which knows only what comes before it; then the parent's side.
RULES = {
    "spec": (),
    "host": ("spec",),
    "data": ("spec", "host"),
    "models": ("spec", "host", "data"),
    "measure": ("spec", "host", "models"),
    "training": ("spec", "host", "data", "models", "measure"),
    "compression": ("spec", "host", "data", "models", "measure", "training"),
    "exporters": ("spec", "host", "data", "models", "compression"),
    "backends": ("spec", "host", "data", "exporters"),
    "layer_diff": ("spec", "host", "data", "exporters", "backends"),
    "jobs/worker.py": ("spec", "host", "jobs/verbs"),
    "jobs/verbs": (
        "spec",
        "host",
        "data",
        "models",
        "measure",
        "training",
        "compression",
        "exporters",
        "backends",
        "layer_diff",
    ),
    "jobs/receipts.py": ("spec", "host"),
    "jobs/planning.py": ("spec",),
    "jobs/launcher.py": ("spec", "host", "jobs/receipts.py", "jobs/planning.py"),
    "analysis": ("spec", "host"),
    "report": ("spec", "host", "analysis"),
    "relay_view": ("spec", "host"),
    "pipeline": ("spec", "host", "jobs/launcher.py", "jobs/planning.py", "analysis", "report", "relay_view"),
    # It exports a module that the caller holds, and opens a library in the caller's process.
    "api": (
        "spec",
        "host",
        "jobs/launcher.py",
        "analysis",
        "report",
        "relay_view",
        "pipeline",
        "exporters",
        "backends",
    ),
    "cli": ("spec", "host", "jobs/launcher.py", "analysis", "report", "relay_view", "pipeline", "api"),
}
# Relay's own rooms: a build applies records, a tuner makes them and builds to measure.
RELAY_RULES = {
    "backends/relay/schedules": (),
    "backends/relay/records": ("backends/relay/schedules",),
    "backends/relay": ("backends/relay/schedules", "backends/relay/records"),
    "backends/relay/tuners": ("backends/relay", "backends/relay/schedules", "backends/relay/records"),
}
# Read by the parent, which must answer --help at once and whose memory must not be its children's.
PARENT = (
    "spec",
    "host",
    "jobs/receipts.py",
    "jobs/launcher.py",
    "analysis",
    "report",
    "relay_view",
    "pipeline",
    "api",
    "cli",
)
ENTRY = ("__init__.py", "__main__.py")
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if str(path.relative_to(PACKAGE)) not in ENTRY]


def room_of(name, rules=RULES):
    """The room of a file or module, by its path below the package; None for the package's own root."""
    inside = [room for room in rules if f"{name}/".startswith(f"{room.removesuffix('.py')}/") or name == room]
    return max(inside, key=len, default=None)


def imports(path):
    """The modules that a file imports, as dotted names; those only for type checkers are left out."""
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


def rooms_imported(path, rules):
    """The rooms of the package that a file imports from, with the modules."""
    for module in imports(path):
        name, _, rest = module.partition(".")
        if name == "tvm_bench" and (room := room_of(rest.replace(".", "/"), rules)):
            yield room, module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_before_it(path):
    name = str(path.relative_to(PACKAGE).with_suffix(""))
    for rules in (RULES, RELAY_RULES):
        room = room_of(name, rules)
        if room is None:
            assert rules is RELAY_RULES or name in ("jobs/__init__",), f"{name} is in no room"
            continue
        for other, module in rooms_imported(path, rules):
            assert other == room or other in rules[room], f"{room} must not import {module}"


def test_the_rules_have_no_cycle():
    for rules in (RULES, RELAY_RULES):
        for room, allowed in rules.items():
            assert not [other for other in allowed if room in rules[other]], f"{room} and another know each other"


def test_the_root_has_folders_only():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == sorted(ENTRY)
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) <= 17


@pytest.mark.parametrize("room", PARENT)
def test_the_parent_imports_nothing_heavy(room):
    place = PACKAGE / room
    for path in [place] if place.is_file() else place.rglob("*.py"):
        assert not {module.split(".")[0] for module in imports(path)} & HEAVY, path


def test_backends_do_not_know_each_other():
    runtimes = {path.stem for path in (PACKAGE / "backends").iterdir() if not path.name.startswith("_")}
    for path in (PACKAGE / "backends").rglob("*.py"):
        own = path.relative_to(PACKAGE / "backends").parts[0].removesuffix(".py")
        for module in imports(path):
            other = module.removeprefix("tvm_bench.backends.").split(".")[0]
            if module.startswith("tvm_bench.backends.") and other in runtimes:
                assert own.startswith(other), f"{own} imports {module}"


def test_the_code_of_a_worker_is_all_but_the_parents():
    """A receipt holds as long as the code that made it: everything that a verb can reach must count."""
    counted = {str(path.relative_to(PACKAGE)) for path in receipts.child_files()}
    rooms = {room_of(name.removesuffix(".py")) for name in counted} - {None}
    reachable, new = set(), {"jobs/worker.py"}
    while new:
        reachable |= new
        new = {other for room in new for other in RULES[room]} - reachable
    assert rooms == reachable


def test_help_answers_at_once():
    """Nothing heavy is loaded."""
    code = (
        "import sys, tvm_bench.cli; print(sorted(set(sys.modules) & {'torch', 'tvm', 'numpy', 'matplotlib', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


RELAX_VERBS = {"build_relax", "profile_relax", "diff_relax", "tune_relax"}  # run in its environment
VERBS = sorted({path.stem for path in (PACKAGE / "jobs" / "verbs").glob("[a-z]*.py")} - RELAX_VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_can_be_run(verb):
    assert callable(importlib.import_module(f"tvm_bench.jobs.verbs.{verb}").run)
