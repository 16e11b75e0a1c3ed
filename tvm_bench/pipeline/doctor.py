"""`tvm-bench doctor`: checks the installation, and names the command that fixes it. Imports neither torch nor tvm."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..host import cpu, dataset_folders, environments, machine
from ..host import packages as installed
from ..jobs import launcher
from ..spec import embedded
from ..spec.backends import BACKENDS
from ..spec.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

PYTHONS = ((3, 11), (3, 14))  # the oldest and the newest that TVM's wheels are built for
IMPORT_SECONDS = 120
LOW_DISK, LOW_MEMORY = 3e9, 4e9  # bytes
VECTORS = (
    ("AVX2", ("avx2",), "no kernel here is made for such a CPU: it will work, several times slower"),
    ("AVX-512", ("avx512f",), "kernels are built with vectors half as wide"),
    ("VNNI", ("avx512vnni", "avxvnni"), "products of INT8 take two to four instructions: expect less gain over FP32"),
    (
        "BF16",
        ("avx512bf16", "amx-bf16"),
        "training runs in bfloat16, which this CPU has to emulate: expect it to be slow",
    ),
    ("AMX", ("amx-int8",), "nothing is lost: TVM 0.19 has no AMX convolution"),
)
ASK_TVM = """import json, tvm
c = tvm.target.codegen
print(json.dumps({"tvm": tvm.__version__, "llvm": c.llvm_version_major(), "cpu": c.llvm_get_system_cpu()}))"""
ASK_TORCH = 'import json, torch; print(json.dumps({"torch": torch.__version__}))'


@dataclass(frozen=True)
class Check:
    """One line of the doctor: the name of the check, its result in words (`found`), and the command that fixes it."""

    name: str
    state: Literal["ok", "missing", "note"]
    found: str
    cure: str = ""
    required: bool = False


def lacking(results: list[Check]) -> list[Check]:
    """The checks without which `bench` cannot run."""
    return [check for check in results if check.required and check.state == "missing"]


def show(results: list[Check], console: Console) -> None:
    """Print a table of all checks, and what is to be done."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "", "found", "to do, or what it means")
    for check in results:
        state = "MISSING" if check in lacking(results) else check.state
        style = {"ok": "green", "MISSING": "bold red"}.get(state, "yellow")
        table.add_row(Text(state, style), Text(check.name), Text(check.found), Text(check.cure))
    console.print(table)
    for check in lacking(results):
        console.print(Text(f"{check.name} is missing. {check.cure}"), soft_wrap=True)
    if not lacking(results):
        console.print("Everything that is required is installed.")


def checks() -> list[Check]:
    """Check all that the workbench needs or profits from. Takes seconds: child processes import TVM and torch."""
    return [
        python(),
        *packages(),
        _asked("TVM's LLVM", ASK_TVM, lambda a: f"TVM {a['tvm']}, LLVM {a['llvm']}, this CPU is '{a['cpu']}' to it"),
        _asked("import torch", ASK_TORCH, lambda a: a["torch"]),
        peers(),
        own_environment("relax", "apache-tvm"),
        own_environment("litert", "ai-edge-litert"),
        own_environment("executorch", "executorch"),
        *vectors(),
        *resources(),
        compiler(),
        *data(),
        thread_variables(),
    ]


def python() -> Check:
    """TVM's wheels exist for CPython on x86-64 Linux only."""
    first, last = (".".join(map(str, version)) for version in PYTHONS)
    interpreter = (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    fits = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1] and sys.platform == "linux" and "x86_64" in interpreter
    cure = "" if fits else f"use CPython {first} to {last} on x86-64 Linux: apt-get install python3-venv && make setup"
    return Check("interpreter", "ok" if fits else "missing", interpreter, cure, required=True)


def packages() -> Iterator[Check]:
    """A check of each required package: its version must be the one that setup.cfg requires."""
    pins = installed.required()
    if not pins:
        yield Check("tvm-bench", "missing", "not installed", "make setup", required=True)
    for name, pin in pins.items():
        version = installed.version(name) or installed.version(f"{name}-gpu")  # ONNX Runtime for CUDA, in its place
        fits = version is not None and version.partition("+")[0] == pin  # `+cpu` is a build of the same version
        text = f"{version or 'not installed'}{'' if fits else f', setup.cfg asks for {pin}'}"
        yield Check(name, "ok" if fits else "missing", text, "" if fits else "make setup", required=True)


def peers() -> Check:
    """A check of the extra `peers`, which only some other runtimes need."""
    try:
        names = installed.required("peers") or BACKENDS["openvino"].packages
        installed.need(names)
        return Check("peers", "ok", ", ".join(f"{name} {installed.version(name)}" for name in names))
    except UserError as error:
        return Check("peers", "note", "not installed (optional)", str(error))


def own_environment(name: str, package: str) -> Check:
    """A check of the environment of the backend `name`; `package` is the runtime in it."""
    try:
        environments.python(name)
    except UserError as error:
        return Check(name, "note", "not built (optional)", str(error))
    return Check(name, "ok", f"{package} {environments.versions(name)[package]}, in its own environment")


def vectors() -> Iterator[Check]:
    """Checks of the vector instructions, which bound the speed of compiled code."""
    here = cpu.host_features()
    for name, any_of, meaning in VECTORS:
        present = ", ".join(sorted(here.intersection(any_of)))
        yield Check(name, "ok", present) if present else Check(name, "note", "this CPU has none", meaning)


def resources() -> Iterator[Check]:
    """Checks of cores, memory and disk."""
    yield Check("cores", "ok", f"{cpu.cores()} of {os.cpu_count()} usable: {cpu.model_name()}")
    memory, disk = (machine.memory_mb() or 0) * 1e6, shutil.disk_usage(Path.cwd()).free
    cure = "" if memory > LOW_MEMORY else "add memory or swap: tuning and training may be killed"
    yield Check("memory", "note" if cure else "ok", f"{memory / 1e9:.1f} GB" if memory else "unknown", cure)
    cure = "" if disk > LOW_DISK else "free some space: du -sh artifacts/* shows the size of earlier runs"
    yield Check("free disk", "note" if cure else "ok", f"{disk / 1e9:.1f} GB at {Path.cwd()}", cure)


def compiler() -> Check:
    """A check of the C++ compiler, $CXX or the first on the PATH: TVM links libraries with it."""
    try:
        return Check("C++ compiler", "ok", installed.need_compiler("TVM"), required=True)
    except UserError as error:
        problem, _, cure = str(error).partition(". ")
        return Check("C++ compiler", "missing", problem, cure, required=True)


def data() -> Iterator[Check]:
    """Checks of the files in the package, and of the full data set."""
    root = embedded.PACKAGE.parent
    for name, path in (("embedded images", embedded.IMAGES), ("embedded weights", embedded.weights("resnet18"))):
        here = path.is_file()
        cure = "" if here else f"git -C {root} checkout -- {path.relative_to(root)}"
        text = f"{path.stat().st_size / 1e6:.1f} MB" if here else f"no {path}"
        yield Check(name, "ok" if here else "missing", text, cure, required=True)
    if folder := dataset_folders.fashion_mnist():
        yield Check("full Fashion-MNIST", "ok", str(folder))
    else:
        cure = "for training and --data fashion-mnist:full: apt-get install dataset-fashion-mnist"
        yield Check("full Fashion-MNIST", "missing", "not found (optional)", cure)


def thread_variables() -> Check:
    """A check of the environment variables that set threads: jobs ignore them, other programs do not."""
    settings = [
        f"{name}={os.environ[name]}"
        for name in (*launcher.THREAD_VARIABLES, *launcher.TVM_THREADS)
        if name in os.environ
    ]
    if not settings:
        return Check("thread variables", "ok", "none set")
    return Check("thread variables", "note", ", ".join(settings), "not used: tvm-bench sets its own in each job")


def _asked(name: str, code: str, show: Callable[[dict[str, Any]], str]) -> Check:
    """Run `code` in a child process, since its imports may fail or hang, and show the JSON that it prints last."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=True)
        return Check(name, "ok", show(json.loads(done.stdout.strip().splitlines()[-1])), required=True)
    except subprocess.TimeoutExpired:
        reason = f"no answer in {IMPORT_SECONDS} s"
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
    except (OSError, ValueError, IndexError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
    return Check(name, "missing", reason, "make setup", required=True)
