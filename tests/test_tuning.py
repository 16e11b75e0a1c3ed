"""Both tuners on the tiny network: records are made, used, and survive a cut line, a kill and a dying compiler."""

import itertools
import json
import math
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
from tvm_bench.pipeline import race, tuning
from tvm_bench.pipeline.steps import LEDGER, Workbench, with_recipe
from tvm_bench.spec import schedule_source
from tvm_bench.spec.variant import ModelSpec, RunSpec

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
    assert cli(*command(root, TRIALS - 1)).returncode == 0
    assert records.read_text().splitlines(keepends=True) == whole[:-1]


@pytest.mark.parametrize("kills", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_dying_compiler_and_kills_cost_nothing_but_their_rounds(cli, tmp_path, kills):
    process = start(tmp_path, 4)
    os.kill(compiler(process.pid), signal.SIGKILL)
    (ledger,) = appear(tmp_path / "logs", "ledger.json")
    crashes = json.loads(ledger.read_text())["crashes"]
    assert sum(len(deaths) for deaths in crashes.values()) == 1 and "SIGKILL" in str(crashes)
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
    assert found["crashes"] == crashes
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
    found = json.loads((folder / "fp32-relay-tuned" / "manifest.json").read_text())
    assert set(found["tuning"]["candidates_ms"]) == {"default", "autoscheduler"}
    assert found["tuning"]["chosen"] == min(found["tuning"]["candidates_ms"], key=found["tuning"]["candidates_ms"].get)
    kinds = {kernel["kind"] for kernel in found["kernels"].values()}
    assert (schedule_source.TUNED in kinds) == (found["tuning"]["chosen"] == "autoscheduler")
    plain, library = (tvm_bench.load(folder / form) for form in ("fp32-relay", "fp32-relay-tuned"))
    images = np.random.default_rng(1).standard_normal(plain.shape).astype(np.float32)
    assert np.abs(plain(images) - library(images)).max() < 1e-4


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
        images = np.random.default_rng(seed).standard_normal(plain.shape).astype(np.float32)
        np.testing.assert_array_equal(plain(images), library(images))


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


def test_what_one_convolution_has_left_is_measured_whatever_others_have():
    ledger = {"tasks": [{"left": []}, {"left": [2, 3]}, {"left": [3]}], "crashes": {"2": ["SIGSEGV"]}}
    assert tuning._next("templates", ledger) == "3"
    assert tuning._next("templates", {"tasks": [{"left": []}], "crashes": {}}) is None


def test_a_task_that_has_nothing_new_is_left(tmp_path):
    tasks = [{"key": "a", "trials": 0, "weight": 1, "flops": 1.0, "best_ms": None}]
    ledger, spent, end = tuning._searched("t", tmp_path, "metaschedule", lambda *_: tasks, 10, math.inf)
    assert spent == 0 and end.startswith("no task promises")
    assert ledger["crashes"] == {"a": ["found no schedule that was not measured before"] * tuning.MAX_CRASHES}


def test_a_compressed_model_of_the_same_sizes_has_the_records_of_the_one_before(tmp_path):
    run_spec = RunSpec(ModelSpec("m"), ("fp32",), (), None, (1,), (1,), tmp_path, tmp_path / "logs")
    bench = Workbench(run_spec, {"mcpu": "znver4"})
    (variant,) = run_spec.variants("fp32", "relay", tuned=True)
    folder = bench.records(variant, "templates")
    folder.mkdir(parents=True)
    (folder / LEDGER).write_text("{}")
    for recipe in ("prune-2:4", "prune-unstructured90+int8", "int8", "kmeans256"):
        assert with_recipe(bench, recipe).tuned_by(variant) == {"templates": folder}
    assert with_recipe(bench, "prune-structured50+kmeans256").tuned_by(variant) == {}


def test_records_of_another_cpu_are_named_and_not_used(tmp_path):
    run_spec = RunSpec(ModelSpec("m"), ("fp32",), (), None, (1,), (1,), tmp_path, tmp_path / "logs")
    (variant,) = run_spec.variants("fp32", "relay", tuned=True)
    folder = Workbench(run_spec, {"mcpu": "znver4"}).records(variant, "templates")
    folder.mkdir(parents=True)
    (folder / LEDGER).write_text("{}")
    assert race._tuned_elsewhere(Workbench(run_spec, {"mcpu": "znver4"}), [("fp32", "relay")]) == []
    (found,) = race._tuned_elsewhere(Workbench(run_spec, {"mcpu": "skylake"}), [("fp32", "relay")])
    assert found.row.status == "skipped" and found.row.tuned
    assert all(word in found.row.error for word in ("znver4-1t-b1", "skylake-1t-b1", "tvm-bench tune"))


def test_coverage_can_be_required(tuned_int8, cli):
    _, options, _ = tuned_int8
    done = cli("build", *options, "--require-coverage", "1")
    assert done.returncode == 2 and "Without a record: tvmgen_default_" in done.stderr
    assert cli("build", *options, "--require-coverage", "0.001").returncode == 0


def test_a_profile_names_every_kernel_and_its_schedule(tuned_int8, cli):
    root, *_ = tuned_int8
    done = cli("inspect", root / "artifacts" / "tiny-cnn" / "int8-relay", "--profile")
    assert done.returncode == 0 and "in convolutions" in done.stdout
    assert "int8 16->16 3x3/1" in done.stdout


def test_autoscheduler_refuses_int8_with_the_reason(cli, tmp_path):
    done = cli("tune", "--model", TINY, "--tuner", "autoscheduler", "--precision", "int8", "--artifacts", tmp_path)
    assert done.returncode == 2 and "INT8" in done.stderr and "metaschedule" in done.stderr
