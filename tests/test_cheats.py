"""Cheating, crashing and hanging backends, raced by the same code and in the same processes as honest ones."""

import contextlib
import os

import pytest

from tests.conftest import ROOT, TINY
from tvm_bench.analysis.validity import ValidityLimits
from tvm_bench.pipeline import race
from tvm_bench.spec.constraints import Constraints
from tvm_bench.spec.variant import ModelSpec, RunSpec

NEW_PROCESSES = ("measure",)  # whose threads and CPU time are what is tested
RULES = race.Rules(rounds=2, samples=240, warmup=4, images=200)
CHEATS = {
    "one_thread_more": "computed with 2 threads on a budget of 1 thread",
    "one_core_more": "on a budget of 1 thread",
    "short_threads": "computed with 2 threads",
    "stale": "to the FP32 reference (limit",
    "stale_when_timed": "gave wrong answers in",
    "one_in_a_hundred": "to the FP32 reference (limit",
    "constant": "to the FP32 reference (limit",
}


def raced(root, backends, rules=RULES, precisions=("fp32",), threads=(1,), batches=(8,), model=TINY):
    run_spec = RunSpec(ModelSpec(model, data="fashion-mnist"), precisions, (), None, batches, threads, root)
    with contextlib.chdir(ROOT):
        results, _ = race.run(run_spec, backends, rules, "test", Constraints())
    return {
        row.name.rpartition("/")[2].removeprefix("fp32-").replace("tests.cheats.", ""): row for row in results.variants
    }


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    names = ("honest", *CHEATS, "lazy", "crashing")
    backends = ("onnxruntime", *(f"tests.cheats.{name}" for name in names))
    return {name.removesuffix("-b8"): row for name, row in raced(tmp_path_factory.mktemp("cheats"), backends).items()}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_flagged(rows, cheat):
    if cheat == "one_core_more" and os.cpu_count() == 1:
        pytest.skip("there is no core more to take")
    assert rows[cheat].ok and CHEATS[cheat] in (rows[cheat].flagged or "not flagged")


def test_the_honest_are_not_flagged(rows):
    for name in ("honest", "onnxruntime"):
        assert rows[name].ok and rows[name].flagged is None
        assert rows[name].working_threads == [1, 1] and max(rows[name].cpu_per_wall) < 1.1


def test_all_had_the_same_cpus(rows):
    masks = {tuple(each["cpus"]) for name, row in rows.items() if name != "one_core_more" for each in row.watch}
    assert len(masks) == 1 and len(masks.pop()) == 1


def test_a_crash_costs_its_own_row_only(rows):
    crashed = rows["crashing"]
    assert crashed.status == "failed" and "SIGSEGV" in crashed.error and crashed.top1 is None
    assert len(rows["honest"].rounds) == 2


def test_an_answer_that_computes_when_it_is_read_fails(rows):
    assert rows["lazy"].status == "failed" and "Later" in rows["lazy"].error


def test_a_backend_that_hangs_costs_its_own_row_only(tmp_path):
    rules = race.Rules(rounds=1, samples=3, images=8, answer_seconds=30)
    rows = raced(tmp_path, ("tests.cheats.hanging", "onnxruntime"), rules, batches=(1,))
    assert rows["hanging"].status == "failed" and "longer than 30 s" in rows["hanging"].error
    assert rows["onnxruntime"].ok and rows["onnxruntime"].rounds


def test_one_wrong_in_a_hundred_is_seen_in_int8_too(tmp_path):
    backends = ("tests.cheats.one_in_a_hundred", "tests.cheats.constant", "onnxruntime", "relay")
    rows = raced(tmp_path, backends, race.Rules(rounds=1, samples=5, images=200), ("int8",), batches=(1,))
    assert "to its reference (median" in rows["int8-one_in_a_hundred"].flagged
    assert "median distance" in rows["int8-constant"].flagged
    assert rows["int8-onnxruntime"].flagged is None and rows["int8-relay"].flagged is None
    assert rows["int8-relay"].plan_mb["weights"] > 0 and rows["int8-relay"].plan_mb["workspace"] > 0
    assert 1 < rows["int8-relay"].runtime_mb < rows["int8-onnxruntime"].runtime_mb


QUICK = race.Rules(rounds=1, samples=3, images=40)


def test_a_network_that_answers_alike_to_all_images_checks_nobody(tmp_path):
    backends = ("tests.cheats.constant", "onnxruntime", "relay")
    rows = raced(tmp_path, backends, QUICK, ("fp32", "int8"), batches=(1,), model="tests.tiny:unvarying")
    assert {"constant", "onnxruntime", "int8-constant", "int8-relay"} < rows.keys()
    for name, row in rows.items():
        assert row.ok and row.flagged.startswith("answers cannot be checked"), name
        assert row.argmax_agreement is None and row.source_argmax_agreement is None, name


def test_without_a_reference_nobody_is_right(tmp_path):
    """Eager PyTorch fails here."""
    model = "tests.tiny:silent"
    rows = raced(tmp_path, ("onnxruntime",), QUICK, ("fp32", "int8"), batches=(1,), model=model)
    assert rows["eager"].status == "failed" and "no answer" in rows["eager"].error
    for name in ("onnxruntime", "int8-onnxruntime"):
        reason = rows[name].flagged
        assert rows[name].ok and reason.startswith("answers not checked: tiny-silent/fp32-eager failed"), name
        assert "no answer" in reason and rows[name].argmax_agreement is None


def test_a_disturbed_round_is_repeated_up_to_a_limit(tmp_path):
    always = ValidityLimits(others_share=-1, unseen_seconds=0, repeats=2, repeated_share=0.75)
    rows = raced(tmp_path, ("onnxruntime",), race.Rules(rounds=4, samples=3, images=8, validity=always), batches=(1,))
    row = rows["onnxruntime"]
    assert row.disturbed == 3, "two of the first round, one of the second, and then no more in this race"
    assert len(row.rounds) == len(row.watch) == 4 and all("other programs" in each["disturbance"] for each in row.watch)
