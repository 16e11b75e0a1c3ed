"""One contract for all backends: right answers, for the batch and on the threads asked for, and errors that say why."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import forks, probe
from tests.conftest import ROOT, TINY
from tvm_bench import backends as runtimes
from tvm_bench import data
from tvm_bench.host import cpu, packages
from tvm_bench.jobs import launcher
from tvm_bench.pipeline import race, steps
from tvm_bench.spec import backends, formats
from tvm_bench.spec.errors import Unavailable, UserError
from tvm_bench.spec.variant import PRECISIONS, ModelSpec, RunSpec, Variant

THREADS = 1  # of two cores or more: a backend that takes what it finds is seen
BATCHES = (1, 3)
IMAGES = 33
# The first is what the others are compared with; the second compiles for a minute, and both its halves are tried.
NOT_TRIED = {("fp32", "eager"), ("bf16", "inductor-max-autotune")}
PAIRS = [pair for pair in backends.pairs(backends.COMPETING, PRECISIONS) if pair not in NOT_TRIED]
SLOW = {("fp32", "inductor-max-autotune"), ("bf16", "inductor")}  # compile for half a minute
# Largest distance to FP32 eager as a share of what the answers vary by, and the least share of equal classes.
CLOSE = {"fp32": (1e-4, 1.0), "bf16": (0.03, 0.97), "fp16-dynamic": (0.01, 1.0), "fp16": (0.01, 0.97)}
CLOSE |= {"int8": (0.25, 0.9), "int8-dynamic": (0.05, 0.97)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    terms = {"frontends": (), "target": None, "batches": (1,), "threads": (THREADS,)}
    run_spec = RunSpec(
        ModelSpec(TINY, data="fashion-mnist"), PRECISIONS, root=tmp_path_factory.mktemp("artifacts").absolute(), **terms
    )
    return steps.open_workbench(run_spec, calibrate=True)


@pytest.fixture(scope="module")
def images(bench, tmp_path_factory):
    from tests.tiny import Tiny

    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, np.concatenate(list(data.load("fashion-mnist", "test").batches(Tiny.input_spec, 1, IMAGES))))
    return path


@pytest.fixture(scope="module")
def expected(bench, images):
    variant = Variant(bench.model_spec, "fp32", "eager", threads=THREADS)
    logits = run(bench, variant, images)["logits"]["1"]
    assert len(set(np.argmax(logits, axis=1))) > 1, "a network that knows one class only would pass anything"
    return np.array(logits)


def run(bench, variant, images):
    """What tests/probe.py finds out of a variant, built for each of the batch sizes, in a job's environment."""
    artifacts = {size: steps.build(bench, replace(variant, batch=size)) for size in BATCHES}
    request = {
        "backend": variant.backend,
        "artifacts": {size: str(path) for size, path in artifacts.items()},
        "damaged": str(cut_short(artifacts[1], bench.folder / "damaged" / variant.form)),
        "threads": THREADS,
        "images": str(images),
    }
    asked, answered = (bench.folder / f"{variant.form}-{name}.json" for name in ("asked", "answered"))
    asked.write_text(json.dumps(request))
    forks.call(probe.main, asked, answered, environment=launcher.child_environment(THREADS))
    return json.loads(answered.read_text())


def cut_short(artifact, folder):
    """A copy of an artifact, the last half of its largest file missing."""
    folder.mkdir(parents=True)
    if artifact.is_dir():
        copy = shutil.copytree(artifact, folder / artifact.name)
        files = [copy / "lib.so"]
    else:
        files = [Path(shutil.copy(file, folder)) for file in formats.files(artifact)]
        copy = files[0]
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    return copy


@pytest.mark.parametrize(
    ("precision", "backend"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if pair in SLOW else [], id="-".join(pair)) for pair in PAIRS],
)
def test_contract(bench, images, expected, precision, backend):
    variant = Variant(bench.model_spec, precision, backend, threads=THREADS)
    if precision == "bf16" and not cpu.has_bf16():
        with pytest.raises(UserError, match="avx512_bf16"):
            steps.build(bench, variant)
        return
    needed = backends.named(backend)
    try:
        packages.need(needed.packages, gpu=needed.gpu)
    except Unavailable as error:
        assert "GPU" in str(error) or "not installed. To have it: " in str(error)
        (row,) = race.race([race.entrant(bench, variant)], race.Rules(rounds=1, samples=2, images=10), {}).variants
        assert (row.status, row.error) == ("skipped", str(error))
        pytest.skip(str(error))
    found = run(bench, variant, images)
    varies = np.linalg.norm(expected - expected.mean(axis=0))
    distance, same = CLOSE[precision]
    for batch in BATCHES:
        logits = np.array(found["logits"][str(batch)])
        assert logits.shape == expected.shape
        assert np.linalg.norm(logits - expected) / varies <= distance
        assert (logits.argmax(1) == expected.argmax(1)).mean() >= same
        assert precision == "fp32" or np.abs(logits - expected).max() > 0, "equal to FP32 to the bit"
    # A second thread at work, or spinning, would make it two.
    assert found["cpu_per_wall"] < THREADS + 0.3
    assert found["torch_threads"] == THREADS
    said = found["error"] or "nothing"
    assert "damaged" in said or "not the file that was built" in said, said


def test_every_backend_says_what_it_takes_and_has():
    for name, backend in backends.BACKENDS.items():
        kinds = set(backends.FRONTENDS.values()) if backend.builds else {backend.source}
        for precision in backend.precisions:
            assert precision in PRECISIONS
            assert all((kind, precision) in formats.FORMATS for kind in kinds), f"{name} has no source in {precision}"
    assert set(backends.BACKENDS) - set(backends.COMPETING) == {"relay-stock", "null"}


def test_forms_come_from_the_model():
    for (kind, precision), form in formats.FORMATS.items():
        seen = {(kind, precision)}
        while form.parent:
            assert form.parent not in seen
            seen.add(form.parent)
            form = formats.FORMATS[form.parent]
        assert ("module", "fp32") in seen and kind in formats.SUFFIXES


def test_a_package_that_is_not_installed_is_told_with_its_cure(monkeypatch):
    lacking = replace(backends.BACKENDS["openvino"], packages=("no-such-package",))
    monkeypatch.setitem(backends.BACKENDS, "openvino", lacking)
    with pytest.raises(UserError, match="no-such-package: not installed. To have it: make peers"):
        runtimes.load("openvino", Path("model.xml"), threads=1)


def test_pairs_that_do_not_exist_are_left_out_and_none_is_an_error(cli, tmp_path):
    assert backends.pairs(("eager", "relay"), ("int8", "bf16")) == [
        ("int8", "eager"), ("bf16", "eager"), ("int8", "relay"),
    ]  # fmt: skip
    with pytest.raises(UserError, match="int8-dynamic: relay has fp32, int8; null has fp32. Give another --precision"):
        backends.pairs(("relay", "null"), ("int8-dynamic",))
    done = cli("bench", "--model", TINY, "--backends", "torchscript", "--precision", "bf16", "--artifacts", tmp_path)
    assert done.returncode == 2 and "torchscript has fp32, int8" in done.stderr and not list(tmp_path.iterdir())


def test_inductor_without_a_compiler(bench, tmp_path):
    """A PATH without one, in a process of its own: what torch finds once, it remembers."""
    artifact = steps.build(bench, Variant(bench.model_spec, "fp32", "eager"))
    code = (
        "import sys, pathlib; from tvm_bench import backends; from tvm_bench.spec import errors\n"
        "try: backends.load('inductor', pathlib.Path(sys.argv[1]), threads=1)\n"
        "except errors.UserError as error: print(error)"
    )
    environment = {**launcher.child_environment(1), "PATH": str(tmp_path)}
    environment.pop("CXX", None)
    command = [sys.executable, "-c", code, str(artifact)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "torch.compile needs. Install it: apt-get install g++" in done.stdout
