"""Interference while samples are taken: counters of the kernel, read before and after. Standard library only."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Any

from . import machine

WORKING = 0.10  # share of the wall time: a thread that used less did not compute
UNSEEN = 0.001  # seconds that reading the counters itself may add to one of them
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Counters:
    """Seconds since some beginning; `threads` by thread id, `busy` and `stolen` by CPU number (empty: not readable).

    `cpus` are those that this process may run on.
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
    """Threads that used more than `WORKING` of the wall time; those that ended in between count as one together."""
    least = WORKING * (after.wall - before.wall) + UNSEEN
    used = [seconds - before.threads.get(thread, 0.0) for thread, seconds in after.threads.items()]
    ended = after.process - before.process - sum(used)
    return sum(seconds > least for seconds in (*used, ended))


def between(before: Counters, after: Counters, threads: int) -> dict[str, Any]:
    """What disturbed the process in between, on the CPUs that it could run on.

    Shares are of the CPU time that `threads` could use there: a CPU outside the process's mask disturbs nothing.
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

    The clock's number is made as Linux's `pthread_getcpuclockid` makes it.
    """
    try:
        return time.clock_gettime((~thread << 3) | 6)
    except OSError:  # it has just ended
        return 0.0
