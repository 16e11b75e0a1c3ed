"""Features of this CPU, by LLVM's names, and the cores that this process may use. Standard library only."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CGROUP = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")

# LLVM's name -> the kernel's. Only flags that /proc/cpuinfo shows: kernels hide some (avxvnniint8, avxifma,
# amx-fp16), and a feature that cannot be seen must not be reported as missing.
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


VNNI = frozenset({"avx512vnni", "avxvnni"})  # either has the dot product of four INT8 values


def host_features() -> frozenset[str]:
    """LLVM's names of the features in `FEATURES` that this CPU has; empty if there is no x86 /proc/cpuinfo."""
    flags = cpuinfo().get("flags", "").split()
    return frozenset(name for name, flag in FEATURES.items() if flag in flags)


def missing(required: Iterable[str]) -> list[str]:
    """Those of `required` (LLVM's names, a leading `+` allowed) that are in `FEATURES` and not on this CPU, sorted."""
    return sorted(_known(required) - host_features())


def flags(required: Iterable[str]) -> list[str]:
    """The names in /proc/cpuinfo of those of `required` (LLVM's names) that are in `FEATURES`, sorted."""
    return sorted(FEATURES[name] for name in _known(required))


def _known(required: Iterable[str]) -> set[str]:
    return {name.removeprefix("+") for name in required} & FEATURES.keys()


def has_vnni() -> bool:
    """Whether one instruction sums four INT8 products in 32 bits, without saturating in 16 bits in between."""
    return bool(host_features() & VNNI)


def has_bf16() -> bool:
    """Whether this CPU has instructions that multiply BF16, so that it need not emulate them."""
    return bool(host_features() & {"avx512bf16", "amx-bf16"})


def available() -> int:
    """Logical cores that this process may run on: under `taskset`, fewer than all."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def quota() -> float | None:
    """CPU seconds per second that the container's cgroup (version 1 or 2) allows; None if there is no limit."""
    limits = [limit for folder in _cgroups() if (limit := _limit(folder))]
    return min(limits, default=None)


def cores() -> int:
    """The largest useful thread count: the available cores, or as many of them as a container's quota allows."""
    limit = quota()
    return available() if limit is None else max(1, min(available(), int(limit)))


def mask(threads: int) -> list[int] | None:
    """The CPUs for `threads` threads: the first that this process may run on; None if it may use them all."""
    if threads >= available() or not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))[:threads]


def model_name() -> str:
    """The CPU's name, as its maker or the hypervisor reports it."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine() or "unknown"


def virtualised() -> bool:
    """Whether a hypervisor reports that it runs this machine."""
    return "hypervisor" in cpuinfo().get("flags", "").split()


@cache
def cpuinfo() -> dict[str, str]:
    """The first processor's lines in /proc/cpuinfo, read once; empty if there is no such file."""
    try:
        first = CPUINFO.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cgroups() -> list[Path]:
    """The folders of this process's cgroup and of all its ancestors, each of which may set a quota."""
    try:
        lines = CGROUP.read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUP_ROOT / "cpu" if controllers else CGROUP_ROOT
        inner = root / path.lstrip("/")
        # In a container the path is that of the host, and the quota is in the root that the container sees.
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return folders


def _limit(folder: Path) -> float | None:
    """The quota of one cgroup in CPUs."""
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return int(limit) / int(period) if limit not in ("max", "-1") else None
    except (OSError, ValueError):
        return None
