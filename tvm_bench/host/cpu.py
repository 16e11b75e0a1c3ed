"""What this CPU can do, in the names LLVM has for it. Standard library only."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CGROUP = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")

# LLVM's name -> the kernel's. Only flags that /proc/cpuinfo shows: kernels keep some to themselves (avxvnniint8,
# avxifma, amx-fp16), and a feature that cannot be seen must not be reported as missing.
FEATURES = {
    "sse4.2": "sse4_2",
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "bmi": "bmi1",
    "bmi2": "bmi2",
    "avx512f": "avx512f",
    "avx512dq": "avx512dq",
    "avx512bw": "avx512bw",
    "avx512vl": "avx512vl",
    "avx512cd": "avx512cd",
    "avx512vnni": "avx512_vnni",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "avx512vbmi": "avx512vbmi",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512ifma": "avx512ifma",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "avx512vp2intersect": "avx512_vp2intersect",
    "avxvnni": "avx_vnni",
    "amx-tile": "amx_tile",
    "amx-int8": "amx_int8",
    "amx-bf16": "amx_bf16",
    "gfni": "gfni",
    "vaes": "vaes",
    "vpclmulqdq": "vpclmulqdq",
}


def host_features() -> frozenset[str]:
    """LLVM's names of the features in `FEATURES` that this CPU has; none where there is no x86 /proc/cpuinfo."""
    flags = cpuinfo().get("flags", "").split()
    return frozenset(name for name, flag in FEATURES.items() if flag in flags)


def missing(required: Iterable[str]) -> list[str]:
    """Those of `required` (LLVM's names, a leading `+` allowed) that are in `FEATURES` and not on this CPU, sorted."""
    names = {name.removeprefix("+") for name in required}
    return sorted((names & FEATURES.keys()) - host_features())


def has_vnni() -> bool:
    """Whether four INT8 products are summed in 32 bits by one instruction, without saturating in 16 bits on the way."""
    return bool(host_features() & {"avx512vnni", "avxvnni"})


def has_bf16() -> bool:
    """Whether it multiplies BF16, and need not emulate it."""
    return bool(host_features() & {"avx512bf16", "amx-bf16"})


def available() -> int:
    """Logical cores that this process may run on: under `taskset`, fewer than all."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def quota() -> float | None:
    """CPU seconds per second that the container's cgroup (version 1 or 2) allows; None where there is no limit."""
    limits = [limit for folder in _cgroups() if (limit := _limit(folder))]
    return min(limits, default=None)


def cores() -> int:
    """The largest useful thread budget: the available cores, or what a container's quota allows of them."""
    limit = quota()
    return available() if limit is None else max(1, min(available(), int(limit)))


def mask(threads: int) -> list[int] | None:
    """The CPUs for a budget of `threads`: the first that this process may run on; None where it may take them all."""
    if threads >= available() or not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))[:threads]


def model_name() -> str:
    """The CPU's name, as its maker or the hypervisor gives it."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine() or "unknown"


def virtualised() -> bool:
    """Whether a hypervisor says that it runs this machine."""
    return "hypervisor" in cpuinfo().get("flags", "").split()


@cache
def cpuinfo() -> dict[str, str]:
    """The first processor's lines in /proc/cpuinfo, read once; empty where there is no such file."""
    try:
        first = CPUINFO.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cgroups() -> list[Path]:
    """The folders of this process's cgroup and of all above it, where a quota may stand."""
    try:
        lines = CGROUP.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUP_ROOT / "cpu" if controllers else CGROUP_ROOT
        inner = root / path.lstrip("/")
        # In a container the path is that of the host, and the quota stands in the root that the container sees.
        found += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return found


def _limit(folder: Path) -> float | None:
    """The quota of one cgroup in CPUs."""
    try:
        if (folder / "cpu.max").exists():
            most, period = (folder / "cpu.max").read_text().split()
        else:
            most, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return int(most) / int(period) if most not in ("max", "-1") else None
    except (OSError, ValueError):
        return None
