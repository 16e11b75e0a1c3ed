"""The doctor and the machine's description, on the machine that the tests run on."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from tvm_bench.host import cpu, machine, packages
from tvm_bench.pipeline import doctor


@pytest.fixture(scope="module")
def found():
    return {check.name: check for check in doctor.checks()}


@pytest.fixture
def bare_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


def lacking(checks):
    return {check.name for check in checks if check.required and check.state == "missing"}


def test_no_compiler_is_an_error_that_names_the_command(found, bare_path):
    text = io.StringIO()
    assert doctor.doctor(Console(file=text, width=200)) == 1
    assert "C++ compiler is missing. apt-get install g++" in text.getvalue()
    others = lacking(found.values()) - {"C++ compiler"}  # nothing else may depend on PATH
    assert text.getvalue().count(" is missing. ") == 1 + len(others)


def test_compiler_from_the_environment(bare_path, monkeypatch):
    monkeypatch.setenv("CXX", f"{sys.executable} -O2")
    assert doctor.compiler().found == sys.executable
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert doctor.compiler().state == "missing" and "no-such-compiler" in doctor.compiler().found


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no compiler on PATH")
def test_compiler_is_found(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    assert doctor.compiler().state == "ok"


def test_llvm_and_the_cpu_are_asked_of_tvm(found):
    check = found["TVM's LLVM"]
    assert check.state == "ok", check.found
    assert "LLVM 21" in check.found and "''" not in check.found


def test_all_that_is_not_well_has_a_cure(found):
    assert {"torch", "xtc-tvm-python-bindings", "embedded images", "free disk", "VNNI"} <= found.keys()
    assert [check.name for check in found.values() if check.state != "ok" and not check.cure] == []
    assert [check.name for check in found.values() if not check.found] == []


def test_a_broken_import_is_reported_with_its_reason():
    check = doctor._asked("x", "import no_such_module", str)
    assert check.state == "missing" and "no_such_module" in check.found


def test_the_doctor_imports_neither_torch_nor_tvm():
    code = "import sys; from tvm_bench.pipeline import doctor as t; [*t.packages(), *t.data(), *t.resources()]"
    subprocess.run([sys.executable, "-c", f"{code}; assert not {{'torch', 'tvm'}} & sys.modules.keys()"], check=True)


def test_versions_are_those_installed():
    import numpy

    assert packages.versions()["numpy"] == numpy.__version__


def test_cpu_features():
    here = cpu.host_features()
    assert here <= cpu.FEATURES.keys()
    assert cpu.missing(here) == []
    assert cpu.missing({"+" + name for name in cpu.FEATURES}) == sorted(cpu.FEATURES.keys() - here)
    assert cpu.missing(["not-in-the-table"]) == []
    assert cpu.cores() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_peak_memory_is_of_this_process_alone():
    ballast = b"x" * 200_000_000  # a child's ru_maxrss would start at this
    code = (
        "from tvm_bench.host.machine import peak_rss_mb, rss_mb; before = peak_rss_mb()\n"
        "held = b'x' * 50_000_000; during = rss_mb(); del held; print(before, during, peak_rss_mb(), rss_mb())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, during, peak, after = map(float, done.stdout.split())
    assert before < 100 < len(ballast) / 1e6
    assert 45 < peak - before < 60 and abs(peak - during) < 2  # the kernel sums these counts up now and then
    assert during > after + 45


def test_description_is_json():
    described = json.loads(json.dumps(machine.describe(), allow_nan=False))
    assert {"cpu", "features", "cores", "cores_total", "caches", "memory_mb", "kernel", "python"} <= described.keys()
    assert {"governor", "mhz", "load_average", "packages", "virtualised"} <= described.keys()
    assert described["cores"] <= described["cores_total"] and described["cpu"] != "unknown"
