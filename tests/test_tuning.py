"""The tuners on the tiny network: records are made, used, and survive a cut line, a kill and a dying compiler."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tvm_bench
from tests.conftest import ROOT, TINY
from tvm_bench.backends.relay.records import templates
from tvm_bench.host import cpu
from tvm_bench.spec import schedule_source

NEW_PROCESSES = ("tune",)  # which start processes and threads of their own, and die
TRIALS = 4


def command(root, trials=TRIALS):
    return [
        "tune",
        "--model",
        TINY,
        "--tuner",
        "autoscheduler",
        "--precision",
        "fp32",
        "--trials",
        trials,
        *where(root),
    ]


def where(root):
    return ["--threads", "1", "--logs", root / "logs", "--artifacts", root / "artifacts"]


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
    done = cli(*command(root))
    assert done.returncode == 0 and "nothing was left to do" in done.stdout
    assert records.read_bytes() == before


def test_minutes_of_earlier_runs_count(tuned, cli):
    root, records = tuned
    before = records.read_bytes()
    done = cli(*command(root, TRIALS + 4), "--minutes", "0.001")
    assert done.returncode == 0 and "the minutes are spent" in done.stdout
    assert records.read_bytes() == before
    done = cli(*command(root), "--minutes", "0")
    assert done.returncode == 2 and "--minutes" in done.stderr


def test_tuning_again_keeps_the_records_so_far(tuned, cli, tmp_path):
    root, records = tuned
    logs = shutil.copytree(root / "logs", tmp_path / "logs")
    done = cli(*command(root, 2), "--again", "--logs", logs)
    assert done.returncode == 0 and "2 trials now (autoscheduler: the trials are spent)" in done.stdout
    old, new = sorted(logs.rglob("records.json"), key=lambda path: "until" not in str(path))
    assert old.read_bytes() == records.read_bytes() and len(new.read_text().splitlines()) == 2


def test_a_cut_line_is_dropped_and_the_others_count(tuned, cli):
    root, records = tuned
    whole = records.read_text().splitlines(keepends=True)
    records.write_text("".join(whole[:-1]) + whole[-1][: len(whole[-1]) // 2])
    plot = records.with_name("tuning.svg")
    done = cli(*command(root, TRIALS - 1), "--json", "--plot", plot)
    assert done.returncode == 0, done.stderr
    assert plot.read_text().rstrip().endswith("</svg>")
    (found,) = json.loads(done.stdout)
    assert (found["spent"], found["stops"]) == (0, {"autoscheduler": "trials"})
    assert found["records"] == str(records.parents[1])
    assert sum(task["trials"] for task in found["ledgers"]["autoscheduler"]["tasks"]) == TRIALS - 1
    assert found["gained_ms"] >= 0 and found["seconds"] > 0
    assert records.read_text().splitlines(keepends=True) == whole[:-1]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, 3])
def test_a_dying_compiler_and_kills_cost_nothing_but_their_rounds(cli, tmp_path, kills):
    process = start(tmp_path, 4)
    child = compiler(process.pid)
    until = time.monotonic() + 60
    while len(os.sched_getaffinity(child)) > 1:
        assert time.monotonic() < until, "a tuning step of one thread may use one CPU"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    (ledger,) = appear(tmp_path / "logs", "ledger.json")
    failed = json.loads(ledger.read_text())["failed_steps"]
    assert len(failed) == 1 and "SIGKILL" in failed[0]["message"]
    for seconds in np.random.default_rng().uniform(0, 20, kills):  # anywhere in a round, before it, or in the build
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(tmp_path, 4)
    if kills:
        process.send_signal(signal.SIGKILL)
    process.wait()
    done = cli(*metaschedule(tmp_path, 4))
    assert done.returncode == 0, done.stderr
    found = json.loads(ledger.read_text())
    assert found["failed_steps"] == failed
    assert sum(task["trials"] for task in found["tasks"]) == 4, "what was measured before counts as spent"
    assert len(ledger.with_name("database_tuning_record.json").read_text().splitlines()) == 4


def metaschedule(root, trials):
    options = ("--tuner", "metaschedule", "--precision", "fp32", "--trials", trials)
    return ["tune", "--model", TINY, *options, *where(root)]


def start(root, trials):
    words = [sys.executable, "-m", "tvm_bench", *map(str, metaschedule(root, trials))]
    return subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def appear(folder, name):
    until = time.monotonic() + 600
    while not (found := list(folder.rglob(name))):
        assert time.monotonic() < until, f"{name} was never written"
        time.sleep(0.05)
    return found


def compiler(parent):
    """The child of `parent` that measures schedules, once there is one."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            requests = [Path(word) for word in words if word.endswith(".request.json")]
            if requests and json.loads(requests[0].read_text())["request"].get("tasks"):
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
    found = json.loads((folder / "fp32-relay-tuned" / "manifest.json").read_text())
    assert set(found["tuning"]["candidates_ms"]) == {"default", "autoscheduler"}
    ratio = found["tuning"]["ratios"]["autoscheduler"]
    assert (found["tuning"]["chosen"] == "autoscheduler") == (ratio["high"] < 1)
    kinds = {kernel["kind"] for kernel in found["kernels"].values()}
    assert (schedule_source.TUNED in kinds) == (found["tuning"]["chosen"] == "autoscheduler")
    plain, library = (tvm_bench.load(folder / form) for form in ("fp32-relay", "fp32-relay-tuned"))
    images = np.random.default_rng(1).standard_normal(plain.inputs[0].shape).astype(np.float32)
    assert np.abs(plain((images,))[0] - library((images,))[0]).max() < 1e-4


@pytest.fixture(scope="module")
def tuned_int8(cli, tmp_path_factory):
    root = tmp_path_factory.mktemp("tuned-int8")
    options = ("--model", TINY, "--data", "fashion-mnist", "--precision", "int8", *where(root))
    done = cli("tune", *options, "--trials", "16")
    assert done.returncode == 0, done.stderr
    return root, options, done


def test_auto_tries_templates_then_searches_and_int8_answers_to_the_bit(tuned_int8, cli):
    root, options, done = tuned_int8
    ledgers = {path.parent.name: json.loads(path.read_text()) for path in (root / "logs").rglob("ledger.json")}
    spent = {tuner: sum(task["trials"] for task in ledger["tasks"]) for tuner, ledger in ledgers.items()}
    assert sum(spent.values()) == 16
    assert spent["templates"] == sum(task["candidates"] - 1 for task in ledgers["templates"]["tasks"])
    assert "of its time:" in done.stdout
    assert cli("build", *options).returncode == 0
    folder = root / "artifacts" / "tiny-cnn"
    found = json.loads((folder / "int8-relay-tuned" / "manifest.json").read_text())["tuning"]
    assert set(found["candidates_ms"]) == {"default", "templates", "metaschedule"}
    searched = {f"metaschedule: {task['key']}" for task in ledgers["metaschedule"]["tasks"] if task["best_ms"]}
    assert found["in_place_ms"] and found["in_place_ms"].keys() <= searched, "by the records of this search"
    for milliseconds in itertools.chain(*found["in_place_ms"].values()):
        assert f"{milliseconds:.3f}" in done.stdout
    assert sum(found["coverage"].values()) == pytest.approx(1)
    plain, library = (tvm_bench.load(folder / form) for form in ("int8-relay", "int8-relay-tuned"))
    for seed in range(5):
        images = np.random.default_rng(seed).standard_normal(plain.inputs[0].shape).astype(np.float32)
        np.testing.assert_array_equal(plain((images,)), library((images,)))


def test_every_kernel_names_what_it_came_from(tuned_int8):
    root, *_ = tuned_int8
    found = json.loads((root / "artifacts" / "tiny-cnn" / "int8-relay-tuned" / "manifest.json").read_text())
    (folder,) = (path.parent for path in (root / "logs").rglob(templates.NAME))
    best = templates.best(folder)
    for kernel in found["kernels"].values():
        assert kernel["record"] or kernel["kind"] != schedule_source.TUNED
        if (kernel["record"] or "").startswith("templates"):
            assert kernel["schedule"] == best[kernel["convolution"]]
            assert (kernel["kind"] == schedule_source.TUNED) == (kernel["schedule"] != kernel["candidates"][0])
        elif kernel["kind"] == schedule_source.TUNED:
            assert kernel["schedule"] == "metaschedule"


def test_the_faster_schedule_is_chosen_and_the_default_stays_otherwise(tmp_path):
    lines = [("a", "2x1x14", 3.0, 4.0), ("a", "1x1x14", 3.5, 4.0), ("b", "2x1x14", 5.0, 4.0)]
    keys = ("convolution", "schedule", "ms", "default_ms")
    text = "".join(json.dumps({**dict(zip(keys, line, strict=True)), "default": "tvm"}) + "\n" for line in lines)
    (tmp_path / templates.NAME).write_text(text)
    assert templates.best(tmp_path) == {"a": "2x1x14", "b": "tvm"}
    record = {"convolution": "a", "schedule": "1x1x14", "ms": 2.0, "default_ms": 2.5, "default": "winograd4"}
    (tmp_path / templates.NAME).write_text(text + json.dumps(record) + "\n")
    assert templates.ratios(tmp_path)["a"] == {"winograd4": 1.0, "1x1x14": 0.8}, "the default is another one now"


@pytest.mark.skipif(cpu.available() < 2, reason="one CPU is all there is")
def test_whatever_measures_has_the_cpus_of_a_race(tuned):
    jobs = tuned[0] / "artifacts" / "tiny-cnn" / "jobs"
    for label in ("tune-autoscheduler-fp32-relay", "build-fp32-relay-tuned"):
        assert len(json.loads((jobs / f"{label}.request.json").read_text())["cpus"]) == 1
    assert json.loads((jobs / "build-fp32-relay.request.json").read_text())["cpus"] is None


def test_coverage_can_be_required(tuned_int8, cli):
    _, options, _ = tuned_int8
    done = cli("build", *options, "--require-coverage", "1")
    assert done.returncode == 2 and "without a record: tvmgen_default_" in done.stderr
    assert cli("build", *options, "--require-coverage", "0.001").returncode == 0


def test_a_profile_names_every_kernel_and_its_schedule(tuned_int8, cli):
    root, *_ = tuned_int8
    done = cli("inspect", root / "artifacts" / "tiny-cnn" / "int8-relay", "--profile")
    assert done.returncode == 0 and "in convolutions" in done.stdout
    assert "int8 16->16 3x3/1" in done.stdout
    rows = json.loads(cli("inspect", root / "artifacts" / "tiny-cnn" / "int8-relay", "--profile", "--json").stdout)
    assert sum(row["share"] for row in rows) == pytest.approx(1) and rows[0]["ms"] == max(row["ms"] for row in rows)
    assert any("int8 16->16 3x3/1" in row["convolution"] and row["gops"] > 0 for row in rows)


def test_autoscheduler_refuses_int8_with_the_reason(cli, tmp_path):
    done = cli("tune", "--model", TINY, "--tuner", "autoscheduler", "--precision", "int8", "--artifacts", tmp_path)
    assert done.returncode == 2 and "INT8" in done.stderr and "metaschedule" in done.stderr
