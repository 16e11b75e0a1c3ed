"""The process boundary: nothing is done twice, nothing stale is served, nothing half-written looks whole."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, TINY
from tvm_bench.backends.relay import runtime
from tvm_bench.host.files import replace_with
from tvm_bench.jobs import launcher, receipts
from tvm_bench.jobs.launcher import Job
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.variant import ModelSpec


@pytest.fixture(autouse=True, scope="module")
def jobs_in_forks():
    """Not those that these tests start by themselves: the new process is what is tested."""


def prepare(cli, root, *more):
    return cli("build", "--model", TINY, "--precision", "fp32", "--artifacts", root, *more)


def times(root):
    return {
        path.name: path.stat().st_mtime_ns
        for path in (root / "tiny-cnn").rglob("*.*")
        if path.suffix in (".so", ".onnx")
    }


def test_a_finished_step_is_not_repeated_and_a_changed_file_is(cli, tmp_path):
    assert prepare(cli, tmp_path).returncode == 0
    first = times(tmp_path)
    assert prepare(cli, tmp_path).returncode == 0
    assert times(tmp_path) == first
    library = tmp_path / "tiny-cnn" / "fp32-relay" / "lib.so"
    whole = library.read_bytes()
    library.write_bytes(whole[:1000])
    assert prepare(cli, tmp_path).returncode == 0
    assert len(library.read_bytes()) == len(whole)
    assert times(tmp_path)["fp32-onnx.onnx"] == first["fp32-onnx.onnx"], "only the damaged file is made again"


def test_a_step_is_repeated_when_what_it_depends_on_changes(tmp_path):
    made = []
    for version in ("one", "one", "two"):
        launcher.run(Job("models", {}, tmp_path, "models", depends=version))
        made.append((tmp_path / "models.receipt.json").stat().st_mtime_ns)
    assert made[0] == made[1] < made[2]


def processes():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_a_killed_build_is_taken_up_again(cli, tmp_path):
    command = [sys.executable, "-m", "tvm_bench", "build", "--model", TINY, "--precision", "fp32"]
    for job in ("prepare-fp32-onnx", "build-fp32-relay"):
        process = subprocess.Popen([*command, "--artifacts", tmp_path], cwd=ROOT, stderr=subprocess.DEVNULL)
        files = tmp_path / "tiny-cnn" / "jobs" / job
        while not files.with_suffix(".request.json").exists():  # its job is just about to start
            assert process.poll() is None, f"it ended before {job} began"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        while str(tmp_path) in processes():
            time.sleep(0.1)
        assert not files.with_suffix(".receipt.json").exists(), "a job outlived its parent"
    assert prepare(cli, tmp_path).returncode == 0
    assert times(tmp_path).keys() == {"fp32-onnx.onnx", "lib.so"}


def test_two_runs_at_once_leave_whole_files(tmp_path):
    command = [sys.executable, "-m", "tvm_bench", "build", "--model", TINY, "--precision", "fp32"]
    runs = [
        subprocess.Popen([*command, "--artifacts", tmp_path], cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [run.wait() for run in runs] == [0, 0]
    first = times(tmp_path)
    subprocess.run([*command, "--artifacts", tmp_path], cwd=ROOT, check=True)
    assert times(tmp_path) == first


def test_the_environment_is_built_not_inherited(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("TVM_BIND_THREADS", "strange")
    environment = launcher.child_environment(2)
    assert environment["OMP_NUM_THREADS"] == environment["TVM_NUM_THREADS"] == "2"
    assert environment["TVM_BIND_THREADS"] == "0" and runtime.THREADS == launcher.TVM_THREADS


def test_errors_of_a_job_reach_the_parent(tmp_path):
    with pytest.raises(launcher.JobError, match="ModuleNotFoundError"):
        launcher.run(Job("no such verb", {}, tmp_path, "unknown"))
    with pytest.raises(launcher.JobError, match="failed with TypeError"):
        launcher.run(Job("describe", {"wrong": 1}, tmp_path, "arguments"))
    with pytest.raises(UserError, match="Did you mean resnet"):
        launcher.run(described(tmp_path, "resnet19"))
    assert not list(tmp_path.glob("*.receipt.json"))


def described(folder, model):
    """A job that describes the model."""
    spec = ModelSpec(model, "random", (3, 32, 32)).request()
    request = {"model_spec": spec, "batch": 1, "calibrate": False, "target": None, "threads": 1, "layers": []}
    return Job("describe", request, folder, "describe", show=True)


@pytest.mark.parametrize("verb, imported", [("profile", True), ("tune", False)])
def test_only_jobs_that_tune_find_xgboost(verb, imported):
    """A verb is imported without xgboost: what tunes must import TVM later."""
    script = f"""
import sys
from tvm_bench.host import packages
with packages.hidden("xgboost"):
    import tvm_bench.jobs.verbs.{verb}
assert ("tvm" in sys.modules) == {imported}
assert "sklearn" not in sys.modules
import xgboost
with packages.hidden("xgboost"):
    import xgboost
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_a_job_that_is_killed_is_told(tmp_path):
    with pytest.raises(launcher.JobError, match="killed by SIGKILL"):
        launcher.run(described(tmp_path, "tests.misbehaving:killed"))


def test_idle_threads_sleep_only_in_jobs_that_time_nothing(tmp_path, monkeypatch):
    job = described(tmp_path, "tests.misbehaving:waiting")
    with pytest.raises(launcher.JobError, match="threads wait: PASSIVE"):
        launcher.run(job)
    assert launcher.UNTIMED.isdisjoint({"build", "measure", "operators", "profile", "tune"})
    monkeypatch.setattr(launcher, "UNTIMED", frozenset())
    with pytest.raises(launcher.JobError, match="threads wait: as usual"):
        launcher.run(job)


def test_output_that_is_not_utf8_harms_nothing(tmp_path):
    with pytest.raises(launcher.JobError, match="exit code 3 and no receipt: caf"):
        launcher.run(described(tmp_path, "tests.misbehaving:not_utf8"))


def test_a_crash_of_a_shown_job_is_in_its_log(tmp_path):
    with pytest.raises(launcher.JobError, match="ZeroDivisionError"):
        launcher.run(described(tmp_path, "tests.misbehaving:divided"))
    assert "Traceback" in (tmp_path / "describe.log").read_text()


def test_a_file_of_the_current_folder_does_not_stand_in_for_a_package(tmp_path, monkeypatch):
    (tmp_path / "onnx.py").write_text("raise SystemExit('the wrong onnx')")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    assert launcher.run(Job("models", {}, tmp_path, "models"))["result"]["names"]
    assert launcher.run(described(tmp_path, "squeezenet1_1"))["result"]["outputs_count"] == 1000


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"key": 1, "outputs": null}', '{"key": "k"}', "cut sho"])
def test_a_receipt_that_is_none_is_not_valid(tmp_path, text):
    (tmp_path / "receipt.json").write_text(text)
    assert receipts.valid(tmp_path / "receipt.json", "k") is None


def test_a_job_that_hangs_is_told(tmp_path):
    with pytest.raises(launcher.JobError, match="longer than 0 s"):
        launcher.run(Job("models", {}, tmp_path, "hangs", timeout=0.2))


def test_a_receipt_says_what_was_asked_and_made(cli, tmp_path):
    assert prepare(cli, tmp_path).returncode == 0
    receipt = json.loads((tmp_path / "tiny-cnn" / "jobs" / "build-fp32-relay.receipt.json").read_text())
    assert receipt["verb"] == "build" and receipt["request"]["inputs"][0]["shape"] == [1, 3, 32, 32]
    assert all(len(digest) == 64 for digest in receipt["outputs"].values()) and len(receipt["outputs"]) == 3
    assert receipt["peak_rss_mb"] > 50 and receipt["seconds"] > 0 and receipt["versions"]["torch"]


def test_files_are_whole_or_not_there(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(RuntimeError), replace_with(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with replace_with(path) as beside:
        beside.write_text("whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path):
    library, process = tmp_path / "lib[1].so", subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead, living = (tmp_path / f".lib[1].{pid}.so" for pid in (process.pid, os.getppid()))
    others = [
        tmp_path / ".lib[1].old.so",
        tmp_path / f".other.{process.pid}.so",
        tmp_path / f".lib[1].{process.pid}.npz",
    ]
    for path in (dead, living, *others):
        path.write_text("half")
    with replace_with(library) as path:
        path.write_text("whole")
    assert library.read_text() == "whole" and not dead.exists()
    assert all(path.exists() for path in (living, *others))
