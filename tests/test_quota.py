"""How many cores a container's quota leaves, on trees like those of both versions of control groups."""

import pytest

from tvm_bench.host import cpu


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Write the lines of /proc/self/cgroup, and files below /sys/fs/cgroup."""
    monkeypatch.setattr(cpu, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cpu, "CGROUP_ROOT", tmp_path / "root")

    def write(lines, **files):
        (tmp_path / "cgroup").write_text(lines)
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


def test_version_2_takes_the_narrowest_of_all_groups_above(group):
    group("0::/user/session\n", **{"user/cpu.max": "150000 100000", "user/session/cpu.max": "max 100000"})
    assert cpu.quota() == 1.5 and cpu.cores() == 1
    group("0::/user/session\n", **{"user/session/cpu.max": "50000 100000"})
    assert cpu.quota() == 0.5 and cpu.cores() == 1, "a share of a core is still one thread"


def test_in_a_container_the_quota_is_in_the_root(group):
    group("0::/\n", **{"cpu.max": "200000 100000"})
    assert cpu.quota() == 2.0 and cpu.cores() == min(2, cpu.available())
    group("0::/docker/1f0e3d\n")  # the host's path, which the container does not see
    assert cpu.quota() == 2.0
    group("0::/../../other\n")  # of a group beside the container's
    assert cpu.quota() == 2.0


def test_version_1(group):
    lines = "12:cpuset:/a\n4:cpu,cpuacct:/a/b\n1:name=systemd:/a\n"
    files = {"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}
    group(lines, **files)
    assert cpu.quota() is None
    group(lines, **{"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"})
    assert cpu.quota() == 3.0 and cpu.cores() == min(3, cpu.available())


def test_both_versions_at_once(group):
    group("4:cpu,cpuacct:/\n0::/init\n", **{"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"})
    assert cpu.quota() == 2.5


@pytest.mark.parametrize("text", ["max 100000", "", "nonsense", "100000"])
def test_no_limit_or_none_that_can_be_read(group, text):
    group("0::/\n", **{"cpu.max": text})
    assert cpu.quota() is None and cpu.cores() == cpu.available()


def test_a_kernel_without_control_groups(group, tmp_path):
    assert not (tmp_path / "cgroup").exists()
    assert cpu.quota() is None and cpu.cores() == cpu.available()
