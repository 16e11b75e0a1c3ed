"""This machine (hardware, load, package versions), and the memory of this process. Imports neither torch nor tvm."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import Any

from . import cpu, packages

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")
SMT = Path("/sys/devices/system/cpu/smt/active")
BOOST = Path("/sys/devices/system/cpu/cpufreq/boost")
NO_TURBO = Path("/sys/devices/system/cpu/intel_pstate/no_turbo")
NVIDIA = Path("/proc/driver/nvidia")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
STAT = Path("/proc/stat")
STATUS, MAPPED = Path("/proc/self/status"), Path("/proc/self/smaps_rollup")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TICK_KINDS = 8  # numbers of a CPU in /proc/stat that do not overlap


def describe() -> dict[str, Any]:
    """The machine as `results.json` records it. A value that cannot be read is None; MB are 10**6 bytes."""
    return {
        "cpu": cpu.model_name(),
        "features": sorted(cpu.host_features()),
        "cores": cpu.cores(),
        "cores_total": os.cpu_count(),
        "caches": caches(),
        "memory_mb": memory_mb(),
        "virtualised": cpu.virtualised(),
        "governor": _read(FREQUENCY / "scaling_governor"),
        "mhz": mhz(),
        "microcode": cpu.cpuinfo().get("microcode"),
        "smt": _read(SMT),
        "boost": boost(),
        "cpu_quota": _read(QUOTA),
        "huge_pages": huge_pages(),
        "load_average": load_average(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": packages.versions(),
        **gpus(),
    }


def gpus(root: Path = NVIDIA) -> dict[str, Any]:
    """The models of the NVIDIA GPUs and the version of their driver, from the files below `root`; empty without any."""
    texts = [path.read_text() for path in sorted(root.glob("gpus/*/information"))]
    models = [found[1] for text in texts if (found := re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE))]
    if not models:
        return {}
    version = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", _read(root / "version") or "")
    return {"gpus": models, "gpu_driver": version[1] if version else None}


def load_average() -> float:
    """Mean number of processes that ran or waited for a core in the last minute; 0 if the system has no counter."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return 0.0


def peak_rss_mb() -> float | None:
    """The peak resident memory of this process, in MB of 10**6 bytes; None outside Linux.

    It is VmHWM: `ru_maxrss` of a child starts at its parent's size on Linux.
    """
    return _in_mb(STATUS, "VmHWM")


def rss_mb() -> float | None:
    """The resident memory of this process now (VmRSS), in MB of 10**6 bytes; None outside Linux."""
    return _in_mb(STATUS, "VmRSS")


def memory_mb() -> float | None:
    """The machine's memory in MB of 10**6 bytes."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6, 1)
    except (AttributeError, ValueError, OSError):
        return None


def cache_bytes() -> dict[int, int]:
    """The bytes of the caches for data by level."""
    return {cache["level"]: cache["kib"] * 1024 for cache in caches() if cache["type"] != "Instruction"}


def caches() -> list[dict[str, Any]]:
    """The caches of core 0: level, type, size in KiB, and the logical cores that share it."""
    result = []
    for folder in sorted(CACHES.glob("index[0-9]*")):
        level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
        if level and kind and size:
            shared = _read(folder / "shared_cpu_list")
            result.append({"level": int(level), "type": kind, "kib": int(size.rstrip("K")), "cores": shared})
    return result


def mhz() -> dict[str, float | None]:
    """Core 0's present frequency and the highest allowed by its governor, in MHz; on a virtual machine, as reported."""
    most, now = _read(FREQUENCY / "scaling_max_freq"), cpu.cpuinfo().get("cpu MHz")  # kHz, and MHz
    return {"now": float(now) if now else None, "max": float(most) / 1000 if most else None}


def mhz_now() -> float | None:
    """The highest frequency of a core now, in MHz; on a virtual machine, as reported."""
    lines = (_read(cpu.CPUINFO) or "").splitlines()
    return max((float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")), default=None)


def pss_mb() -> float | None:
    """The proportional set size (PSS) now, in MB of 10**6 bytes: shared pages count by this process's share."""
    return _in_mb(MAPPED, "Pss")


def huge_pages_mb() -> float | None:
    """How much of this process's memory lies in huge pages now, in MB of 10**6 bytes."""
    return _in_mb(MAPPED, "AnonHugePages")


def boost() -> bool | None:
    """Whether cores may exceed their nominal frequency; None if no driver reports it."""
    allowed, forbidden = _read(BOOST), _read(NO_TURBO)
    if allowed is None and forbidden is None:
        return None
    return allowed == "1" or forbidden == "0"


def huge_pages() -> str | None:
    """The kernel's policy for transparent huge pages: `always`, `madvise` or `never`."""
    match = re.search(r"\[(\w+)\]", _read(HUGE_PAGES) or "")
    return match[1] if match else None


def busy_share(seconds: float = 1.0) -> float | None:
    """Share, 0 to 1, of this process's CPUs that other programs use while it sleeps for `seconds`.

    Time that the hypervisor takes counts too. None if the kernel has no counters.
    """
    before = cpu_ticks()
    time.sleep(seconds)
    after = cpu_ticks()
    cpus = [number for number in usable_cpus() if number in before and number in after]
    spent = [sum(after[cpu][i] - before[cpu][i] for cpu in cpus) for i in range(TICK_KINDS)]
    idle = spent[3] + spent[4]  # idle and waiting for disks
    return round(1 - idle / max(sum(spent), 1), 4) if cpus else None


def usable_cpus() -> list[int]:
    """The numbers of the CPUs that this process may run on, sorted."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_ticks() -> dict[int, list[int]]:
    """CPU number -> its ticks in user, nice, system, idle, iowait, irq, softirq and steal.

    Empty if there is no /proc/stat.
    """
    lines = re.findall(r"^cpu(\d+) (.+)$", _read(STAT) or "", re.MULTILINE)
    return {int(number): [int(ticks) for ticks in text.split()[:TICK_KINDS]] for number, text in lines}


def _in_mb(path: Path, key: str) -> float | None:
    for line in (_read(path) or "").splitlines():
        if line.startswith(f"{key}:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 2)  # the file says kB and means KiB
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
