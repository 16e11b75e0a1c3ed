"""Other programs' CPU time counts only on the CPUs that the measured process may use."""

import os
from dataclasses import replace

import pytest

from tvm_bench.analysis.validity import ValidityLimits, disturbance
from tvm_bench.host import interference, machine

CORES = 64


def stat(path, busy=(), stolen=()):
    """A /proc/stat of 64 CPUs; those of `busy` worked a second for others, those of `stolen` lost one."""
    second = interference.TICKS
    lines = [
        f"cpu{cpu} {second * (cpu in busy)} 0 0 {second * (cpu not in busy)} 0 0 0 {second * (cpu in stolen)} 0 0"
        for cpu in range(CORES)
    ]
    path.write_text("\n".join(["cpu  9 9 9 9 9 9 9 9 0 0", *lines, "intr 1 2 3", "ctxt 4"]))


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """What is seen in a second in which `busy` and `stolen` happened, by a process on CPUs 0 and 1, or on all 64."""
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")

    def watch(cpus=(0, 1), threads=2, **happened):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cpus))
        stat(machine.STAT)
        before = interference.read()
        stat(machine.STAT, **happened)
        after = replace(interference.read(), wall=before.wall + 1, process=before.process)
        return interference.between(before, after, threads)

    return watch


def test_a_busy_core_outside_the_mask_disturbs_nothing(watched):
    found = watched(busy=(63,), stolen=(40,))
    assert found["others_share"] == found["steal_share"] == 0 and found["cpus"] == [0, 1]
    assert disturbance(found, 2, ValidityLimits()) is None


def test_a_busy_core_of_the_mask_disturbs(watched):
    found = watched(busy=(1, 63), stolen=(0,))
    assert found["others_share"] == found["steal_share"] == pytest.approx(0.5)
    assert "other programs took 50%" in disturbance(found, 2, ValidityLimits())


def test_without_a_mask_all_cpus_count(watched):
    assert watched(range(CORES), threads=CORES, busy=(63,))["others_share"] == pytest.approx(1 / CORES)
    assert watched((0, 1), threads=8, busy=(0, 1))["others_share"] == pytest.approx(1), "two CPUs are all there is"


def test_where_the_kernel_does_not_count_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "STAT", tmp_path / "none")
    before = interference.read()
    found = interference.between(before, interference.read(), threads=1)
    assert found["others_share"] is None and found["steal_share"] is None
    assert machine.busy_share(seconds=0) is None


def test_the_busy_share_is_of_the_usable_cpus(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(machine.time, "sleep", lambda _: stat(machine.STAT, busy=(1, 2, 3)))
    machine.STAT.write_text("\n".join(f"cpu{cpu} 0 0 0 0 0 0 0 0 0 0" for cpu in range(CORES)))
    assert machine.busy_share() == 0.5
