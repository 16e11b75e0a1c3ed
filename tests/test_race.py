"""`bench` end to end on the tiny network, in real processes. No timing is asserted, only that it was measured."""

import contextlib
import json
import subprocess
from datetime import datetime, timedelta

import pytest

from tests.conftest import ROOT, TINY
from tvm_bench.analysis.validity import ValidityLimits
from tvm_bench.pipeline import race as race_module
from tvm_bench.spec.constraints import Constraints
from tvm_bench.spec.variant import ModelSpec, RunSpec

NEW_PROCESSES = ("measure",)  # whose memory and threads are recorded
RACE = ("bench", "--model", TINY, "--data", "fashion-mnist", "--images", "50", "--rounds", "2", "--samples", "5")


@pytest.fixture(scope="module")
def race(cli, tmp_path_factory):
    root = tmp_path_factory.mktemp("race")
    done = cli(*RACE, "--artifacts", root, "--threads", "1", "--backends", "eager,relay,onnxruntime,null")
    return root, done


def rows(root):
    found = json.loads((root / "tiny-cnn" / "results.json").read_text())
    return found, {row["name"].split("/")[1]: row for row in found["variants"]}


def test_all_variants_are_measured_and_right(race):
    root, done = race
    assert done.returncode == 0, done.stderr
    _, found = rows(root)
    assert set(found) == {
        "fp32-eager", "int8-eager", "fp32-relay", "int8-relay", "fp32-onnxruntime", "int8-onnxruntime", "fp32-null",
    }  # fmt: skip
    for name, row in found.items():
        assert row["status"] == "ok", row["error"]
        assert [len(samples) for samples in row["latency_ms"]["rounds"]] == [5, 5]
        assert all(len(row[key]) == 2 for key in ("load_ms", "first_call_ms", "peak_rss_mb", "rss_after_import_mb"))
        assert all(
            peak >= after > 10 for peak, after in zip(row["peak_rss_mb"], row["rss_after_import_mb"], strict=True)
        )
        assert bool(row["time_evaluator_ms"]) == ("relay" in name)
        assert row["size_mb"] > 0 and row["flagged"] is None
        assert row["pss_peak_mb"] and all(0 < pss < row["peak_rss_mb"][i] for i, pss in enumerate(row["pss_peak_mb"]))
        assert len(row["huge_pages_mb"]) == 2
        assert row["batch"] == row["threads"] == 1 and len(row["watch"]) == 2
        if "null" not in name:
            assert row["images"] == 50 and 0 <= row["top1"] <= row["top5"] <= 1
    for name in ("fp32-relay", "fp32-onnxruntime"):
        assert found[name]["max_abs_error"] < 1e-4 and found[name]["argmax_agreement"] == 1
    assert 0 < found["int8-relay"]["max_abs_error"] < 1
    assert found["int8-relay"]["source_argmax_agreement"] >= 0.96
    assert found["fp32-relay"]["source_max_abs_error"] < 1e-4
    assert found["int8-eager"]["source_argmax_agreement"] is None
    imported = {name: row["rss_after_import_mb"][0] for name, row in found.items()}
    assert imported["fp32-relay"] < imported["fp32-null"] + 30, "TVM's runtime was opened, without the compiler"


def test_operations_are_counted_and_the_speed_of_the_cpu_is_measured(race):
    found, by_name = rows(race[0])
    stem, block, head = 3 * 9 * 16 * 16 * 16, 16 * 9 * 16 * 16 * 16, 16 * 10
    assert by_name["fp32-relay"]["operations"] == 2 * (stem + block + head)
    assert found["peaks"]["threads"] == 1 and found["peaks"]["fp32"] > 1 and found["peaks"]["memory"] > 1
    assert len(found["matmul_rates"]) == 2 and min(found["matmul_rates"]) > 1
    assert "Operations per second" in (race[0] / "tiny-cnn" / "report.md").read_text()


def test_machine_and_settings_are_recorded(race):
    found, _ = rows(race[0])
    assert found["schema"] == 1
    assert found["machine"]["cores"] >= 1 and found["machine"]["cpu"]
    assert found["settings"]["threads"] == 1 and found["settings"]["rounds"] == 2
    assert found["settings"]["command"].startswith("tvm-bench bench --model")


def test_the_checkout_is_recorded(race):
    settings = rows(race[0])[0]["settings"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    assert settings["commit"] == (head.stdout.strip() if head.returncode == 0 else None)
    assert (settings["dirty"] is None) == (settings["commit"] is None)
    start, end = (datetime.fromisoformat(settings[name]) for name in ("start", "end"))
    assert start.utcoffset() == timedelta(0) and start < end
    report = (race[0] / "tiny-cnn" / "report.md").read_text()
    assert f"- start: {settings['start']}" in report and f"- commit: {settings['commit']}" in report


def test_the_report_is_printed_and_written(race, cli):
    root, done = race
    assert "int8-relay" in done.stdout and "fp32-eager" in done.stdout
    folder = root / "tiny-cnn"
    assert "int8-relay" in (folder / "report.md").read_text()
    for plot in ("latency", "memory", "size", "accuracy"):
        assert (folder / "plots" / f"{plot}.png").stat().st_size > 5000
    (folder / "report.md").unlink()
    assert cli("report", folder).returncode == 0 and (folder / "report.md").exists()


def test_each_int8_variant_of_a_compiler_is_explained(race):
    folder, found = race[0] / "tiny-cnn", rows(race[0])[1]
    explained = {name: row["explanation"] for name, row in found.items() if row["explanation"]}
    assert explained.keys() == {"int8-relay", "int8-onnxruntime"}
    assert "of what this CPU can do" in explained["int8-relay"] and "8-bit integers" in explained["int8-onnxruntime"]
    for page in ("report.md", "report.html"):
        assert "What limits INT8" in (folder / page).read_text()


def test_a_second_race_builds_nothing_again(race, cli):
    root, _ = race
    libraries = {path: path.stat().st_mtime_ns for path in (root / "tiny-cnn").rglob("*.so")}
    answers = {path: path.stat().st_mtime_ns for path in (root / "tiny-cnn").rglob("*.npy")}
    done = cli(*RACE, "--artifacts", root, "--threads", "1", "--backends", "eager,relay")
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in libraries} == libraries
    assert {path: path.stat().st_mtime_ns for path in answers} == answers


def test_a_dry_run_says_what_would_be_reused(race, cli):
    command = (*RACE, "--artifacts", race[0], "--threads", "1", "--backends", "relay", "--dry-run", "--json")
    built = set(race[0].rglob("*.so"))
    planned = {plan["name"]: plan["seconds"] for plan in json.loads(cli(*command).stdout)}
    assert list(planned) == ["tiny-cnn/fp32-eager", "tiny-cnn/fp32-relay", "tiny-cnn/int8-relay"]
    reused = {"build": 0, "answers": 0}
    assert planned["tiny-cnn/fp32-eager"] == reused, "it is scored, and not timed"
    rounds = {name: steps.pop("rounds") for name, steps in planned.items() if "rounds" in steps}
    assert len(rounds) == 2 and all(seconds > 0 for seconds in rounds.values())
    assert planned["tiny-cnn/fp32-relay"] == reused and planned["tiny-cnn/int8-relay"] == {**reused, "layers": 0}
    (changed,) = json.loads(cli(*command, "--precision", "int8", "--target", "llvm -mcpu=haswell").stdout)[1:]
    assert changed["seconds"]["build"] > 0 and changed["seconds"]["answers"] > 0
    new = cli(*command[:-1], "--threads", "1", "--batch-size", "2").stdout
    assert "in addition the" in new and "marked 'new'" in new
    assert built and set(race[0].rglob("*.so")) == built, "nothing was built"


def test_a_failed_variant_is_a_row_and_exit_code_1(cli, tmp_path):
    done = cli(
        "bench", "--model", "tests.tiny:untraceable", "--data", "fashion-mnist", "--images", "10", "--rounds", "2",
        "--samples", "3", "--backends", "eager,onnxruntime", "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "tiny-untraceable" / "results.json").read_text())
    failed = {row["name"].split("/")[1]: row for row in found["variants"] if row["status"] == "failed"}
    assert set(failed) == {"int8-eager"}
    assert "cannot be quantized" in failed["int8-eager"]["error"] and failed["int8-eager"]["latency_ms"] is None
    assert "failed" in done.stdout


def test_no_labels_no_accuracy(cli, tmp_path):
    done = cli(
        "bench", "--model", TINY, "--precision", "fp32", "--rounds", "2", "--samples", "3", "--backends", "relay-stock",
        "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "tiny-cnn" / "results.json").read_text())["variants"][0]
    assert row["top1"] is None and row["images"] is None
    assert row["argmax_agreement"] is None, "all noise is of one class here, as a constant would say"
    assert row["cosine"] == pytest.approx(1) and row["flagged"] is None
    assert not (tmp_path / "tiny-cnn" / "plots" / "accuracy.png").exists()


def test_an_onnx_file_races_without_its_module(race, cli, tmp_path):
    source = race[0] / "tiny-cnn" / "sources" / "fp32-onnx.onnx"
    done = cli(
        "bench", "--model", source, "--precision", "fp32", "--backends", "relay,onnxruntime", "--rounds", "2",
        "--samples", "3", "--batch-size", "1", "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("fp32-onnx-*")
    found = json.loads((folder / "results.json").read_text())
    assert found["settings"]["reference"] == "fp32-onnxruntime"
    assert all(row["max_abs_error"] < 1e-4 for row in found["variants"])


ALWAYS_DISTURBED = ValidityLimits(others_share=-1, unseen_seconds=0, repeats=1, repeated_share=0.5)


def small_race(root, backends, rules):
    """A race of ONNX backends in this process's workers; the rows by backend."""
    run_spec = RunSpec(ModelSpec(TINY, data="fashion-mnist"), ("fp32",), (), None, (1,), (1,), root)
    with contextlib.chdir(ROOT):
        results, _ = race_module.run(run_spec, backends, rules, "test", Constraints())
    return {row.backend.rpartition(".")[2]: row for row in results.variants}


def test_what_does_not_race_earns_no_repeats(tmp_path):
    rules = race_module.Rules(rounds=2, samples=3, images=8, validity=ALWAYS_DISTURBED)
    found = small_race(tmp_path, ("onnxruntime", "tensorrt"), rules)
    assert found["tensorrt"].status == "skipped"
    assert found["onnxruntime"].disturbed == 1, "half of its own two rounds"


def test_a_wrong_answer_in_a_round_that_is_repeated_counts(tmp_path):
    rules = race_module.Rules(rounds=2, samples=60, warmup=2, images=8, validity=ALWAYS_DISTURBED)
    row = small_race(tmp_path, ("tests.cheats.stale_once",), rules)["stale_once"]
    assert row.disturbed == 1 and len(row.rounds) == 2
    assert "gave wrong answers" in row.flagged
