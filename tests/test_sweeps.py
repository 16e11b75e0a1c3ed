"""Sweeps over batch sizes and thread counts: named variants, interleaved, a table each."""

import json

import pytest

from tests.conftest import TINY
from tests.runs import a_run, constant
from tvm_bench.analysis.results import Row
from tvm_bench.report import sweep_tables, table
from tvm_bench.spec.variant import ModelSpec, RunSpec


def a_row(name, ms, **more):
    return Row(f"m/{name}", "fp32", name.split("-")[1], latency_ms={"rounds": constant(ms)}, **more)


def test_names_say_what_is_swept(tmp_path):
    run_spec = RunSpec(ModelSpec("m"), ("fp32",), ("onnx", "pytorch"), None, (1, 4), (1, 2), tmp_path)
    assert [each.label for each in run_spec.variants("fp32", "eager")] == [
        "fp32-eager-t1", "fp32-eager-b4-t1", "fp32-eager-t2", "fp32-eager-b4-t2",
    ]  # fmt: skip
    assert len(run_spec.variants("fp32", "relay")) == 8
    assert run_spec.variants("fp32", "relay", tuned=True)[0].label == "fp32-relay-onnx-tuned-t1"
    one = RunSpec(ModelSpec("m"), ("fp32",), (), None, (4,), (2,), tmp_path)
    assert [each.label for each in one.variants("fp32", "eager")] == ["fp32-eager-b4"]


def test_a_table_of_latency_and_one_of_throughput():
    run = a_run(
        a_row("fp32-eager", 10.0), a_row("fp32-eager-b4", 20.0, batch=4), a_row("fp32-relay", 8.0),
        a_row("fp32-null", 0.001),
    )  # fmt: skip
    (found,) = sweep_tables.sweeps(run)
    assert found.values == (1, 4) and set(found.rows) == {"fp32-eager", "fp32-relay"}
    text = table.markdown(sweep_tables.tables(run))
    assert "| fp32-eager | 10.00 | 5.000 |" in text and "| fp32-eager | 100 | 200 |" in text
    assert "| fp32-relay | 8.000 | – |" in text and "by threads" not in text
    assert sweep_tables.tables(a_run(a_row("fp32-eager", 10.0))) == []


def test_threads_and_batches_are_told_apart():
    run = a_run(*(
        a_row(f"fp32-eager{'-b2' * (batch == 2)}-t{threads}", 12.0 / threads, batch=batch, threads=threads)
        for batch in (1, 2) for threads in (1, 2)
    ))  # fmt: skip
    by_batch, by_threads = sweep_tables.sweeps(run)
    assert set(by_batch.rows) == {"fp32-eager-t1", "fp32-eager-t2"} and by_batch.values == (1, 2)
    assert set(by_threads.rows) == {"fp32-eager", "fp32-eager-b2"} and by_threads.values == (1, 2)


@pytest.mark.parametrize(
    ("option", "value"), [("--batch-size", "1,0"), ("--batch-size", "two"), ("--threads", "1,4096")]
)
def test_bad_sweeps_are_refused(cli, option, value):
    done = cli("bench", option, value)
    assert done.returncode == 2 and option in done.stderr and "give" in done.stderr


def test_a_sweep_races_every_batch(cli, tmp_path):
    done = cli(
        "bench", "--model", TINY, "--data", "fashion-mnist", "--images", "20", "--rounds", "2", "--samples", "3",
        "--precision", "fp32", "--backends", "eager,relay", "--batch-size", "1,3", "--threads", "1",
        "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "tiny-cnn" / "results.json").read_text())
    rows = {row["name"].split("/")[1]: row for row in found["variants"]}
    assert {name: row["batch"] for name, row in rows.items()} == {
        "fp32-eager": 1, "fp32-eager-b3": 3, "fp32-relay": 1, "fp32-relay-b3": 3,
    }  # fmt: skip
    assert all(row["flagged"] is None and row["argmax_agreement"] == 1 for row in rows.values())
    assert rows["fp32-relay-b3"]["source_max_abs_error"] < 1e-4, "compared with its source, image by image"
    assert rows["fp32-relay"]["top1"] == rows["fp32-relay-b3"]["top1"] and len(rows["fp32-relay"]["hits"]) == 6
    report = (tmp_path / "tiny-cnn" / "report.md").read_text()
    assert "Images per second, by batch size:" in report
    (footprint,) = [line for line in report.splitlines() if line.startswith("| fp32-relay-b3 |") and " + " in line]
    assert "–" not in footprint, "memory, plan, sizes, threads and CPU seconds were all found"
