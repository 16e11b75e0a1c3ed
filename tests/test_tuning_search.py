"""The order of tuning steps, the ledger, and who waits for whom: with a compiler that only pretends to measure."""

import math
import os
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tvm_bench.analysis import ledger as ledgers
from tvm_bench.analysis.ledger import NOTHING_NEW, Ledger, StopReason
from tvm_bench.analysis.tuning import Tuned
from tvm_bench.jobs import launcher
from tvm_bench.jobs.launcher import JobError, locked
from tvm_bench.pipeline import tuning, tuning_policy
from tvm_bench.pipeline.tuning_policy import NextStep
from tvm_bench.pipeline.workbench import LEDGER


def rows(lefts, candidates=4):
    """Convolutions with these indices of candidates left, as a worker reports them."""
    return [
        {
            **{"key": key, "name": key, "weight": 1, "flops": 1.0, "failed": {}, "best_ms": 1.0, "default_ms": 1.0},
            **{"candidates": candidates, "left": sorted(left), "trials": candidates - 1 - len(left)},
        }
        for key, left in lefts.items()
    ]


class Compiler:
    """Measures what it is asked for, and dies of some candidates, given as (convolution, index)."""

    def __init__(self, convolutions, dies_of=()):
        self.left = {f"conv{i}": {1, 2, 3} for i in range(convolutions)}
        self.dies_of = set(dies_of)
        self.steps = []

    def __call__(self, step):
        if step:
            self.steps.append(step)
            if self.dies_of & {(key, step.candidate) for key in step.tasks}:
                raise JobError("killed by SIGSEGV")
            for key in step.tasks:
                self.left[key].remove(step.candidate)
        return rows(self.left)


def search(run, path, trials=1000, seconds=math.inf, policy=tuning_policy.templates):
    return tuning._search("t", path / LEDGER, policy, run, trials, seconds)


def test_a_candidate_that_kills_the_compiler_loses_only_itself(tmp_path):
    compiler = Compiler(20, {("conv7", 1), ("conv7", 3), ("conv12", 3)})
    ledger, spent, stop = search(compiler, tmp_path)
    assert {key: left for key, left in compiler.left.items() if left} == {"conv7": {1, 3}, "conv12": {3}}
    assert spent == ledger.spent == 57 and stop is StopReason.FAILURES
    assert len(compiler.steps) < 35, "halves, not one by one"
    assert search(compiler, tmp_path)[1:] == (0, StopReason.FAILURES), "the next run knows what failed"


def test_a_compiler_that_always_dies_is_given_up(tmp_path):
    compiler = Compiler(20, {(f"conv{i}", index) for i in range(20) for index in (1, 2, 3)})
    ledger, spent, stop = search(compiler, tmp_path)
    assert spent == 0 and stop is StopReason.FAILURES and len(ledger.failed_steps) == len(compiler.steps) < 30


def test_a_step_measures_no_more_than_the_trials_that_are_left(tmp_path):
    compiler = Compiler(20)
    ledger, spent, stop = search(compiler, tmp_path, trials=5)
    assert spent == 5 and stop is StopReason.TRIALS
    assert search(compiler, tmp_path, trials=1000)[1:] == (55, StopReason.MEASURED)
    assert search(compiler, tmp_path, trials=1000)[1:] == (0, StopReason.MEASURED)


def test_what_one_convolution_has_left_is_measured_whatever_others_have():
    step = tuning_policy.templates(Ledger().with_tasks(rows({"a": [], "b": [2, 3], "c": [2]})), 100)
    assert (step.tasks, step.candidate, step.trials) == (("b", "c"), 2, 2)


def test_a_task_that_has_nothing_new_is_left(tmp_path):
    task = {"key": "a", "name": "a", "trials": 0, "weight": 1, "flops": 1.0, "failed": {}, "best_ms": None}
    steps = []
    policy = tuning_policy.POLICIES["metaschedule"]
    ledger, spent, stop = search(lambda step: steps.append(step) or [task], tmp_path, policy=policy)
    assert spent == 0 and stop is StopReason.NO_GAIN
    assert [step.message for step in ledger.failed_steps] == [NOTHING_NEW] * tuning_policy.MAX_FAILURES
    assert [step.cost_model for step in steps if step] == ["xgboost", "random"]


def test_a_ledger_reads_as_it_was_written(tmp_path):
    ledger, *_ = search(Compiler(3, {("conv1", 2)}), tmp_path)
    again = ledgers.read(tmp_path / LEDGER)
    assert replace(again, tasks=ledger.tasks) == ledger
    assert ledgers.read(tmp_path / "none.json") == Ledger()


@pytest.mark.parametrize("path", sorted((ROOT / "tuning_logs").rglob(LEDGER)), ids=lambda path: path.parts[-5])
def test_committed_ledgers_are_read(path):
    ledger = ledgers.read(path)
    assert ledger.seconds > 60 and len(ledger.curve) > 1 and not ledger.failed_steps


def test_a_tuning_step_waits_while_another_run_measures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "MEASURING", tmp_path / "measuring.lock")
    compiler, step = Compiler(1), NextStep(("conv0",), 1, 1)
    ledger = Ledger().with_tasks(compiler(None))
    thread = threading.Thread(target=tuning._after, args=(step, ledger, compiler))
    with locked(tuning.MEASURING):
        thread.start()
        wait_for_message(capsys)
        assert not compiler.steps
    thread.join(60)
    assert compiler.steps == [step]


def test_an_exclusive_job_waits_while_another_run_measures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launcher, "MEASURING", tmp_path / "measuring.lock")
    job = launcher.Job("models", {}, tmp_path, "models", exclusive=True)
    thread = threading.Thread(target=launcher.run, args=(job,))
    with locked(launcher.MEASURING):
        thread.start()
        wait_for_message(capsys)
        assert not job.path("log").exists()
    thread.join(120)
    assert job.path("receipt.json").exists()


def wait_for_message(capsys):
    until = time.monotonic() + 60
    while "waiting for another run" not in capsys.readouterr().err:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_lock_is_one_for_all_artifact_folders():
    assert launcher.MEASURING.parent == Path(tempfile.gettempdir()) and str(os.getuid()) in launcher.MEASURING.name


def test_a_library_with_default_schedules_gained_nothing():
    measured = {"candidates_ms": {"default": 2.0, "templates": 1.9}, "chosen": "default"}
    tuned = Tuned("fp32", Path(), {"templates": Ledger(seconds=60.0)}, 1, {}, measured)
    assert tuned.gained_ms == 0 and tuned.amortised_after is None
    assert replace(tuned, measured={**measured, "chosen": "templates"}).amortised_after == pytest.approx(600_000)
    assert replace(tuned, measured={"candidates_ms": {}, "chosen": "templates"}).amortised_after is None
