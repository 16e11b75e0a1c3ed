"""MetaSchedule on Relax: records are made, kept by later runs, and used where they are faster."""

import json
import shutil
import subprocess

import jsonschema
import numpy as np
import pytest
from onnx import helper

import tvm_bench as tb
from tests.conftest import ROOT, TINY
from tests.test_relax import SCHEMAS, conv, needs_relax, small_file
from tvm_bench.exporters import qdq
from tvm_bench.host import cpu, environments, manifest
from tvm_bench.jobs import launcher
from tvm_bench.jobs.launcher import Job
from tvm_bench.report import tuning_summary
from tvm_bench.spec import schedule_source
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec, to_json

TRIALS = 3
RECORDS = "database_tuning_record.json"
SHAPE = (1, 16, 8, 8)
NODES = [
    conv("x", "v", "a", pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["a"], ["b"]),
    conv("b", "w", "y"),
]


def options(root):
    where = ("--threads", 1, "--logs", root / "logs", "--artifacts", root / "artifacts")
    return (root / "small.onnx", "--backend", "relax", "--precision", "fp32", *where)


@pytest.fixture(scope="module")
def tuned(cli, tmp_path_factory):
    root = tmp_path_factory.mktemp("tuned")
    small_file(root / "small.onnx", NODES, SHAPE, SHAPE, {"v": (16, 16, 3, 3), "w": (16, 16, 1, 1)})
    done = cli("tune", *options(root), "--trials", TRIALS, "--json")
    assert done.returncode == 0, done.stderr
    (records,) = (root / "logs").rglob(RECORDS)
    return root, records.parent, json.loads(done.stdout)[0]


def library(root, name):
    (folder,) = (root / "artifacts").glob(f"*/{name}")
    with np.load(folder / manifest.GOLDEN) as golden:
        return manifest.read(folder), golden["output_0"]


@needs_relax
def test_the_ledger_has_the_trials_of_the_heaviest_kernel(tuned):
    _, folder, found = tuned
    assert folder.name == "relax-metaschedule" and len((folder / RECORDS).read_text().splitlines()) == TRIALS
    ledger = json.loads((folder / "ledger.json").read_text())
    assert ledger["tasks"] == found["ledgers"]["metaschedule"]["tasks"]
    first, *others = sorted(ledger["tasks"], key=lambda task: -task["trials"])
    assert (first["name"], first["trials"]) == ("fp32 16->16 3x3/1, 8x8", TRIALS) and first["best_ms"] > 0
    assert others and not any(task["trials"] for task in others)
    assert ledger["curve"] == [first["best_ms"]] and not ledger["failed_steps"]
    assert (found["spent"], found["stops"]) == (TRIALS, {"metaschedule": "trials"})
    assert f"metaschedule: {first['key']}" in found["measured"]["in_place_ms"]


@needs_relax
def test_a_second_run_resumes(tuned, cli, tmp_path):
    root, folder, _ = tuned
    before = (folder / RECORDS).read_text()
    done = cli("tune", *options(root), "--trials", TRIALS)
    assert done.returncode == 0 and "nothing was left to do" in done.stdout
    assert (folder / RECORDS).read_text() == before
    logs = shutil.copytree(root / "logs", tmp_path / "logs")
    (cut,) = logs.rglob(RECORDS)
    cut.write_text(before[:-20])
    done = cli("tune", *options(root), "--trials", TRIALS + 1, "--logs", logs)
    assert done.returncode == 0 and "2 trials now" in done.stdout, "the record whose line was cut is measured again"
    lines = cut.read_text().splitlines(keepends=True)
    assert lines[: TRIALS - 1] == before.splitlines(keepends=True)[:-1] and len(lines) == TRIALS + 1


@needs_relax
def test_the_tuned_library_says_where_its_schedules_are_from(tuned, cli):
    root, folder, _ = tuned
    done = cli("build", *options(root))
    assert done.returncode == 0, done.stderr
    (about, answer), (plain, right) = library(root, "fp32-relax-tuned"), library(root, "fp32-relax")
    assert np.abs(answer - right).max() < 1e-4 and right.std() > 0.01
    assert plain["tuning"] is None and all(not kernel["record"] for kernel in plain["kernels"].values())
    jsonschema.validate(about, json.loads((SCHEMAS / "manifest.schema.json").read_text()))
    shares = about["tuning"]["coverage"]
    assert sum(shares.values()) == pytest.approx(1) and tuning_summary.coverage(shares) in done.stdout
    (measured,) = [task for task in json.loads((folder / "ledger.json").read_text())["tasks"] if task["trials"]]
    recorded = [kernel for kernel in about["kernels"].values() if kernel["record"]]
    assert [kernel["record"] for kernel in recorded] == [f"metaschedule: {measured['key']}"]
    chosen = about["tuning"]["chosen"] == "metaschedule"
    assert recorded[0]["kind"] == (schedule_source.TUNED if chosen else schedule_source.KEPT)
    assert (recorded[0]["schedule"] == "metaschedule") == chosen
    assert chosen <= (about["tuning"]["ratios"]["metaschedule"]["high"] < 1)
    (folder,) = (root / "artifacts").glob("*/fp32-relax-tuned")
    rows = {row["kernel"]: row["from"] for row in json.loads(cli("inspect", folder, "--profile", "--json").stdout)}
    sources = {
        name: kernel["record"] if chosen and kernel["record"] else kernel["kind"]
        for name, kernel in about["kernels"].items()
    }
    assert rows == sources
    done = cli("build", *options(root), "--require-coverage", 1)
    assert done.returncode == 2 and "Kernels without a record" in done.stderr


USED = """
import json, sys
from pathlib import Path
import numpy as np
from tvm import relax
from tvm_bench.backends.relax import compiler, frontend, selection, target
from tvm_bench.backends.relax.library import Library
from tvm_bench.backends.relax.records import Records
from tvm_bench.spec.tensors import TensorSpec, to_json

source, folder, opponent = sys.argv[1:]
specs, cpu = (TensorSpec("x", (1, 16, 8, 8), "float32"),), target.resolve(None, 1)
records = Records(Path(folder), cpu)
model = compiler.fused(frontend.relax_from_onnx(Path(source), specs), cpu)
plain = relax.build(model.module, cpu)
executable = plain if opponent == "no schedules" else compiler.built(model, cpu, records).executable
about = {"kernels": model.kernels, "inputs": to_json(specs), "outputs": to_json(specs)}
default = Library(about, executable)
build, tuning = selection.best(model, cpu, records, default)
given = (np.random.default_rng(0).standard_normal((1, 16, 8, 8)).astype(np.float32),)
(right,), (found,) = Library(about, plain)(given), default.rebuilt(build)(given)
kernels = [kernel for kernel in build.kernels.values() if kernel["record"]]
print(json.dumps({"error": float(abs(found - right).max()), "kernels": kernels, "tuning": tuning}))
"""


def selected(root, folder, opponent):
    """What is built with the records, where `opponent` is the library with the default schedules."""
    command = [environments.python("relax"), "-W", "ignore", "-c", USED, root / "small.onnx", folder, opponent]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["error"] < 1e-4
    (kernel,) = found["kernels"]
    return kernel, found["tuning"]


@needs_relax
def test_a_record_is_used_where_it_is_faster(tuned):
    root, folder, _ = tuned
    kernel, found = selected(root, folder, "no schedules")
    assert (kernel["kind"], kernel["schedule"]) == (schedule_source.TUNED, "metaschedule")
    assert found["chosen"] == "metaschedule" and found["coverage"][schedule_source.TUNED] > 0
    kernel, found = selected(root, folder, "the records")
    assert (kernel["kind"], kernel["schedule"]) == (schedule_source.KEPT, "direct"), "as fast is not faster"
    assert found["chosen"] == "default" and found["coverage"][schedule_source.TUNED] == 0


@needs_relax
def test_a_kernel_whose_trials_all_failed_keeps_its_schedule(tuned, tmp_path):
    root, folder, _ = tuned
    failed = shutil.copytree(folder, tmp_path / "failed")
    lines = [json.loads(line) for line in (failed / RECORDS).read_text().splitlines()]
    for _, record in lines:
        record[1] = [1e10]
    (failed / RECORDS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    kernel, found = selected(root, failed, "no schedules")
    assert (kernel["kind"], kernel["schedule"]) == (schedule_source.FAILED, "direct")
    assert found["chosen"] == "default"


@needs_relax
@pytest.mark.skipif(not cpu.has_vnni(), reason="this CPU has no INT8 dot product")
def test_int8_is_tuned_with_the_dot_product(tmp_path):
    small_file(tmp_path / "fp32.onnx", NODES, SHAPE, SHAPE, {"v": (16, 16, 3, 3), "w": (16, 16, 1, 1)})
    samples = [(np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32),) for seed in range(4)]
    qdq.quantize(tmp_path / "fp32.onnx", tmp_path / "small.onnx", iter(samples), vnni=True)
    inputs, folder = to_json((TensorSpec("x", SHAPE, "float32"),)), tmp_path / "records"
    request = {"tuner": "metaschedule", "source": str(tmp_path / "small.onnx"), "inputs": inputs, "threads": 1}
    request |= {"target_text": None, "records": str(folder), "reference": ""}

    def tasks(**step):
        job = Job("tune_relax", request | step, tmp_path / "jobs", "tune", venv="relax", reuse=False)
        return {task["name"]: task for task in launcher.run(job)["result"]["tasks"]}

    name = "int8 16->16 3x3/1, 8x8"
    after = tasks(tasks=[tasks()[name]["key"]], trials=8)  # the search draws schedules with and without it
    assert after[name]["trials"] == 8 and not after[name]["failed"]
    assert any('"Tensorize"' in line for line in (folder / RECORDS).read_text().splitlines())
    kernel, _ = selected(tmp_path, folder, "no schedules")
    assert kernel["kind"] == schedule_source.TUNED


@pytest.mark.parametrize("tuner", ["templates", "autoscheduler"])
def test_tuners_that_relax_does_not_have(tuner, cli, tmp_path):
    with pytest.raises(UserError, match=f"relax has no tuner '{tuner}', only metaschedule. Give --tuner"):
        tb.tune(TINY, tuner=tuner, backend="relax", precision="fp32", artifacts=tmp_path)
    done = cli("tune", TINY, "--backend", "relax", "--tuner", tuner, "--artifacts", tmp_path)
    assert done.returncode == 2 and "relax has no tuner" in done.stderr
    assert not list(tmp_path.iterdir())


def test_other_backends_are_not_tuned(tmp_path):
    with pytest.raises(UserError, match="backend of tune"):
        tb.tune(TINY, backend="onnxruntime", precision="fp32", artifacts=tmp_path)
