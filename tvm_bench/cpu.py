"""What this CPU can do, in the names LLVM has for it. Standard library only."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

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


def cores() -> int:
    """Logical cores that this process may run on, which under `taskset` or in a container can be fewer than all."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def mask(threads: int) -> list[int] | None:
    """The CPUs for a budget of `threads`: the first that this process may run on; None where it may take them all."""
    if threads >= cores() or not hasattr(os, "sched_getaffinity"):
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
