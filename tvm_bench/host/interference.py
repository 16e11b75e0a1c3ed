"""Interference while samples are taken, from kernel counters read before and after. Standard library only."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Any

from . import machine

WORKING = 0.10  # share of the wall time: a thread below it is an idle helper
UNSEEN = 0.001  # seconds that the reading itself may add to a counter
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Counters:
    """Seconds since an arbitrary start; `threads` by thread ID, `busy` and `stolen` by CPU number (empty: unreadable).

    `cpus` are the CPUs that this process may run on; `switches` counts its involuntary context switches.
    """

    wall: float
    process: float
    threads: dict[int, float]
    cpus: list[int]
    busy: dict[int, float]
    stolen: dict[int, float]
    switches: int


def read() -> Counters:
    """The counters of this process and of the machine."""
    ticks = machine.cpu_ticks()
    return Counters(
        wall=time.perf_counter(),
        process=time.process_time(),
        threads={int(name): _thread_seconds(int(name)) for name in os.listdir("/proc/self/task")},
        cpus=machine.usable_cpus(),
        busy={cpu: (sum(counts[:3]) + sum(counts[5:7])) / TICKS for cpu, counts in ticks.items()},
        stolen={cpu: counts[7] / TICKS for cpu, counts in ticks.items()},
        switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
    )


def working_threads(before: Counters, after: Counters) -> int:
    """Number of threads that used over `WORKING` of the wall time; all that ended in between count as one."""
    threshold = WORKING * (after.wall - before.wall) + UNSEEN
    used = [seconds - before.threads.get(thread, 0.0) for thread, seconds in after.threads.items()]
    ended = after.process - before.process - sum(used)
    return sum(seconds > threshold for seconds in (*used, ended))


def between(before: Counters, after: Counters, threads: int) -> dict[str, Any]:
    """The interference between two readings, on the CPUs that the process could run on.

    Shares are relative to the CPU time that `threads` threads could use there. Other CPUs do not count: load on them
    does not disturb the process.
    """
    seconds = after.wall - before.wall
    budget = seconds * min(threads, len(before.cpus))
    others = stolen = None
    if before.busy and after.busy:
        busy = _increase(before.busy, after.busy, before.cpus)
        others = max(0.0, busy - (after.process - before.process)) / budget
        stolen = _increase(before.stolen, after.stolen, before.cpus) / budget
    return {
        "seconds": seconds,
        "load": machine.load_average(),
        "others_share": others,
        "steal_share": stolen,
        "involuntary_switches": after.switches - before.switches,
        "mhz": machine.mhz_now(),
        "cpus": after.cpus,
    }


def _increase(before: dict[int, float], after: dict[int, float], cpus: list[int]) -> float:
    return sum(after[cpu] - before[cpu] for cpu in cpus if cpu in before and cpu in after)


def _thread_seconds(thread: int) -> float:
    """CPU seconds of a thread of this process, to the nanosecond: /proc counts in ticks, too coarse for short calls.

    The clock's ID is computed as in Linux's `pthread_getcpuclockid`.
    """
    try:
        return time.clock_gettime((~thread << 3) | 6)
    except OSError:  # it has just ended
        return 0.0
