"""AutoScheduler on the tiny network: records are made, used, and survive a cut line and a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tvm_bench
from tests.conftest import ROOT, TINY

TRIALS = 12


def command(root, trials=TRIALS):
    options = ["--precision", "fp32", "--threads", "1", "--logs", root / "logs", "--artifacts", root / "artifacts"]
    return ["tune", "--model", TINY, "--trials", trials, *options]


@pytest.fixture(scope="module")
def tuned(cli, tmp_path_factory):
    root = tmp_path_factory.mktemp("tuned")
    done = cli(*command(root))
    assert done.returncode == 0, done.stderr
    (records,) = (root / "logs").rglob("records.json")
    return root, records


def test_the_budget_is_spent_and_written_down(tuned):
    _, records = tuned
    assert len(records.read_text().splitlines()) == TRIALS
    ledger = json.loads(records.with_name("ledger.json").read_text())
    assert sum(task["trials"] for task in ledger["tasks"]) == TRIALS
    assert any(task["best_ms"] for task in ledger["tasks"])


def test_a_second_run_has_nothing_left_to_do(tuned, cli):
    root, records = tuned
    before = records.read_bytes()
    assert cli(*command(root)).returncode == 0
    assert records.read_bytes() == before


def test_a_cut_line_is_dropped_and_the_others_count(tuned, cli):
    root, records = tuned
    whole = records.read_text().splitlines(keepends=True)
    records.write_text("".join(whole[:-1]) + whole[-1][: len(whole[-1]) // 2])
    assert cli(*command(root, TRIALS - 1)).returncode == 0
    assert records.read_text().splitlines(keepends=True) == whole[:-1]


def test_a_killed_tuning_keeps_its_records(cli, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "tvm_bench", *map(str, command(tmp_path, 24))], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not list((tmp_path / "logs").rglob("ledger.json")) and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (records,) = (tmp_path / "logs").rglob("records.json")
    kept = records.read_text().splitlines()
    assert len(kept) >= 8
    assert cli(*command(tmp_path, len(kept) - 1)).returncode == 0, "what was measured counts as spent"
    assert records.read_text().splitlines()[: len(kept) - 1] == kept[:-1]


def test_a_compiler_that_dies_costs_its_round_and_is_remembered(cli, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "tvm_bench", *map(str, command(tmp_path, 8))], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    os.kill(compiler(process.pid), signal.SIGKILL)
    assert process.wait(timeout=300) == 0, "the tuning goes on"
    (path,) = (tmp_path / "logs").rglob("ledger.json")
    ledger = json.loads(path.read_text())
    assert sum(ledger["crashes"].values()) == 1
    assert sum(task["trials"] for task in ledger["tasks"]) >= 8
    assert cli(*command(tmp_path, 24)).returncode == 0
    assert json.loads(path.read_text())["crashes"] == ledger["crashes"]


def compiler(parent):
    """The child of `parent` that measures schedules, once there is one."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            requests = [Path(word) for word in words if word.endswith(".request.json")]
            if requests and json.loads(requests[0].read_text())["request"].get("task"):
                return int(child)
        time.sleep(0.05)
    raise AssertionError("no schedule was ever measured")


def test_the_tuned_library_uses_the_records_and_is_right(tuned, cli):
    root, _ = tuned
    done = cli(
        "bench", "--model", TINY, "--precision", "fp32", "--backends", "relay", "--threads", "1", "--rounds", "2",
        "--samples", "3", "--logs", root / "logs", "--artifacts", root / "artifacts",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = root / "artifacts" / "tiny-cnn"
    rows = {row["name"]: row for row in json.loads((folder / "results.json").read_text())["variants"]}
    assert rows["tiny-cnn/fp32-relay-tuned"]["max_abs_error"] < 1e-4
    kernels = json.loads((folder / "fp32-relay-tuned" / "manifest.json").read_text())["kernels"]
    assert "record" in kernels.values(), kernels
    plain, library = (tvm_bench.load(folder / form) for form in ("fp32-relay", "fp32-relay-tuned"))
    images = np.random.default_rng(1).standard_normal(plain.shape).astype(np.float32)
    assert np.abs(plain(images) - library(images)).max() < 1e-4


def test_int8_is_refused_with_the_reason(cli, tmp_path):
    done = cli("tune", "--model", TINY, "--precision", "int8", "--artifacts", tmp_path)
    assert done.returncode == 2 and "INT8" in done.stderr
