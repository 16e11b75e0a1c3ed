"""The doctor and the machine's description, on the machine that the tests run on."""

import configparser
import io
import json
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from tests.conftest import ROOT
from tvm_bench.host import cpu, machine, packages
from tvm_bench.jobs import launcher
from tvm_bench.pipeline import doctor
from tvm_bench.spec.errors import UserError


@pytest.fixture(scope="module")
def found():
    return {check.name: check for check in doctor.checks()}


@pytest.fixture
def bare_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


def lacking(checks):
    return {check.name for check in doctor.lacking(checks)}


def test_no_compiler_is_an_error_that_names_the_command(found, bare_path):
    text = io.StringIO()
    doctor.show(doctor.checks(), Console(file=text, width=200))
    assert "C++ compiler is missing. Install it: apt-get install g++" in text.getvalue()
    others = lacking(found.values()) - {"C++ compiler"}  # nothing else may depend on PATH
    assert text.getvalue().count(" is missing. ") == 1 + len(others)


def executable(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_one_compiler_for_all(bare_path, tmp_path, monkeypatch):
    """The doctor, the check before a build and what compiles agree; a cache or options in $CXX change nothing."""
    path, other = executable(tmp_path / "g++"), executable(tmp_path / "my tools" / "c++")
    executable(tmp_path / "ccache")
    for value, found in {"ccache g++": path, f"{path} -O2": path, other: other, "": path}.items():
        monkeypatch.setenv("CXX", value)
        assert doctor.compiler().found == packages.need_compiler("TVM") == found
        assert launcher.child_environment(1)["CXX"] == found


@pytest.mark.parametrize("value", ["no-such-compiler", "ccache no-such-compiler", "ccache"])
def test_a_compiler_that_is_not_there_is_not_replaced(bare_path, tmp_path, monkeypatch, value):
    executable(tmp_path / "g++")
    executable(tmp_path / "ccache")
    monkeypatch.setenv("CXX", value)
    assert doctor.compiler().state == "missing" and value in doctor.compiler().found
    with pytest.raises(UserError, match="Unset CXX"):
        packages.need_compiler("TVM")


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


def test_every_package_of_setup_cfg_counts(found):
    """For the receipts, for the doctor and for the results: one list."""
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg")
    lines = options["options.extras_require"]["workbench"].splitlines()
    names = {line.partition("==")[0] for line in lines if "==" in line and not line.startswith("#")}
    assert {"jinja2", "xgboost", "psutil", "scikit-learn", "torch-pruning"} <= names
    assert names == packages.required().keys() <= packages.versions().keys() <= machine.describe()["packages"].keys()
    assert names <= found.keys()
    assert {"openvino", "nncf", "ncnn", "pnnx", "MNN"} == packages.required("peers").keys()


def test_the_constraints_are_those_of_setup_cfg():
    lines = (ROOT / "docs" / "reference" / "constraints.txt").read_text().splitlines()
    for extra in ("workbench", "dev", "peers"):
        pins = {f"{name}=={version}".lower() for name, version in packages.required(extra).items()}
        assert pins <= {line.lower() for line in lines}


def test_a_package_of_another_version_is_missing_to_the_doctor(monkeypatch):
    monkeypatch.setattr(packages, "required", lambda: {"numpy": "1.0", "no-such-package": "2.0"})
    numpy, absent = doctor.packages()
    assert numpy.state == absent.state == "missing"
    assert "setup.cfg asks for 1.0" in numpy.found and absent.found == "not installed, setup.cfg asks for 2.0"


def test_thread_variables_are_those_that_jobs_set(monkeypatch):
    for name in launcher.THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
        assert f"{name}=7" in doctor.thread_variables().found


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
