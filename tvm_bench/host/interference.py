"""What the kernel counted, read before and after the samples: nothing runs beside them. Standard library only."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Any

from . import machine

WORKING = 0.10  # of the wall time: a thread that used less only looked after something
UNSEEN = 0.001  # seconds that reading the counters itself may add to one of them
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Counters:
    """Seconds since some beginning; `threads` by thread id, `busy` and `stolen` of all cores (None: not readable)."""

    wall: float
    process: float
    threads: dict[int, float]
    busy: float | None
    stolen: float | None
    switches: int


def read() -> Counters:
    """The counters of this process and of the machine."""
    ticks = machine.cpu_ticks()
    return Counters(
        wall=time.perf_counter(),
        process=time.process_time(),
        threads={int(name): _thread_seconds(int(name)) for name in os.listdir("/proc/self/task")},
        busy=(sum(ticks[:3]) + sum(ticks[5:7])) / TICKS if ticks else None,
        stolen=ticks[7] / TICKS if ticks else None,
        switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
    )


def working_threads(before: Counters, after: Counters) -> int:
    """Threads that used more than `WORKING` of the wall time; those that ended in between count as one together."""
    least = WORKING * (after.wall - before.wall) + UNSEEN
    used = [seconds - before.threads.get(thread, 0.0) for thread, seconds in after.threads.items()]
    ended = after.process - before.process - sum(used)
    return sum(seconds > least for seconds in (*used, ended))


def between(before: Counters, after: Counters, threads: int) -> dict[str, Any]:
    """What disturbed the process in between. Shares are of the CPU time that its budget of `threads` could use."""
    seconds = after.wall - before.wall
    budget = seconds * threads
    others = stolen = None
    if before.busy is not None and after.busy is not None:
        others = max(0.0, after.busy - before.busy - (after.process - before.process)) / budget
        stolen = (after.stolen - before.stolen) / budget
    return {
        "seconds": seconds,
        "load": machine.load_average(),
        "others_share": others,
        "steal_share": stolen,
        "involuntary_switches": after.switches - before.switches,
        "mhz": machine.mhz_now(),
        "cpus": sorted(os.sched_getaffinity(0)),
    }


def _thread_seconds(thread: int) -> float:
    """CPU seconds of a thread of this process, to the nanosecond: /proc counts in ticks, too coarse for short calls.

    The clock's number is made as Linux's `pthread_getcpuclockid` makes it.
    """
    try:
        return time.clock_gettime((~thread << 3) | 6)
    except OSError:  # it has just ended
        return 0.0
