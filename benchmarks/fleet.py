"""How does tuning get on with several servers? Writes docs/results/fleet.md: a run in which one dies, and a simulation.

python benchmarks/fleet.py

It takes some minutes: AutoScheduler tunes ResNet-18 on three servers of this machine, the first of which is killed.
Then the build of each trial is timed again, and the simulation schedules these recorded times on more servers.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import measured

from tvm_bench.analysis import ledger

RESULTS = measured.FOLDER / "fleet.json"
LOOPBACK, KEY = "127.0.0.1", "cpu"
SERVERS, TRIALS, PER_STEP = 3, 32, 8  # AutoScheduler's trials in a step, see pipeline/tuning_policy.py
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIMULATED = 4096  # trials
# Trials in a step, and cores of the machine that searches and builds.
HOSTS = ((PER_STEP, 2), (64, 2), (64, 16), (256, 64))
TEXT = """# Tuning on a fleet

{origin}

## One of three servers dies

`tvm-bench tune --tuner autoscheduler --rpc-tracker` measured ResNet-18 in FP32 on three servers of this machine, which
share its cores. One was killed after {killed:.0f} s.

{run}

A trial that a dead server had is lost, and counted as failed. Tuning goes on with the others: of {trials} trials,
{good} gave a time, in {seconds:.0f} s.

## How it scales

Here the times are recorded, and the servers are not. A trial was built in {build:.2f} s and run in {run_s:.2f} s
(medians of {good} trials). Beside its trials, a step of {per_step} took {own:.1f} s: it starts a process, imports the
model and searches. The simulation draws {simulated} trials from the recorded ones. A step searches, then builds on the
cores of the host, then runs on the servers, as AutoScheduler does. The search is taken to last as long for more trials
in a step.

Trials per hour:

{scaling}

*Bound by* names the part that takes most of the time with {most} servers. More servers help as long as runs take most
of it. Then builds do, which need cores of the host, and then the search, which needs larger steps. A server beyond the
number of trials in a step has nothing to do.
"""


@dataclass(frozen=True)
class Trial:
    """The seconds of a trial's build and of its run, with the way to the server."""

    build: float
    run: float


@click.command(help=__doc__)
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measured.keep(RESULTS, page, **_measured(Path(folder)))


def _measured(folder: Path) -> dict[str, Any]:
    began = time.time()
    with fleet() as (port, servers):
        command = ["tune", "--tuner", "autoscheduler", "--precision", "fp32", "--trials", TRIALS, "--threads", 1]
        command += [
            "--rpc-tracker",
            f"{LOOPBACK}:{port}",
            "--logs",
            folder / "logs",
            "--artifacts",
            folder / "artifacts",
        ]
        tuning = subprocess.Popen([sys.executable, "-m", "tvm_bench", *map(str, command)])
        while not (records := list(folder.rglob("records.json*"))):
            time.sleep(0.1)
        time.sleep(2)  # so that the next trials are on their way
        os.killpg(servers[0].pid, signal.SIGKILL)
        killed = time.time() - began
        tuning.wait()
    (path,) = folder.rglob("ledger.json")
    book = ledger.read(path)
    (request,) = folder.rglob("*autoscheduler-fp32-relay.request.json")
    trials = _recorded(records[0], json.loads(request.read_text())["request"])
    return {
        "killed": killed,
        "seconds": book.seconds,
        "steps": len(book.curve),
        "trials": [trial | {"ended": trial["ended"] - began} for trial in trials],
    }


@contextmanager
def fleet() -> Iterator[tuple[int, list[subprocess.Popen]]]:
    """A tracker and its servers on loopback: the tracker's port, and the servers' processes."""
    port = _free_port()
    processes = [_started("rpc_tracker", port)]
    tracker = f"{LOOPBACK}:{port}"
    processes += [_started("rpc_server", _free_port(), "--tracker", tracker, "--key", KEY) for _ in range(SERVERS)]
    try:
        time.sleep(10)
        yield port, processes[1:]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _started(module: str, port: int, *options: str) -> subprocess.Popen:
    place = ["--host", LOOPBACK, "--port", str(port), "--port-end", str(port + 1)]
    command = [sys.executable, "-m", f"tvm.exec.{module}", *place, "--silent", *options]
    return subprocess.Popen(command, env={**os.environ, "TVM_NUM_THREADS": "1"}, start_new_session=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return found.getsockname()[1]


def _recorded(records: Path, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Each trial of AutoScheduler: when it `ended`, its time or error, and the seconds of its build and run.

    `request` is that of a tuning step.
    """
    from tvm import auto_scheduler

    from tvm_bench.backends.relay.records.autoscheduler import LAYOUT
    from tvm_bench.backends.relay.tuners.request import TuningStep

    step = TuningStep(**{name: value for name, value in request.items() if name != "tuner"})
    target, module = step.open_model(LAYOUT)
    auto_scheduler.extract_tasks(module["main"], {}, target)  # builds need the tasks of the records
    pairs = list(auto_scheduler.RecordReader(str(records)))
    builder = auto_scheduler.LocalBuilder(n_parallel=1)
    found = []
    for given, result in pairs:
        failed = bool(result.error_no)
        (built,) = builder.build([given]) if not failed else (None,)
        build = built.time_cost if built else None
        found.append(
            {
                "ended": float(result.timestamp),
                "error": int(result.error_no),
                "ms": None if failed else 1e3 * min(cost.value for cost in result.costs),
                "build": build,
                "run": max(0.0, result.all_cost - build) if build is not None else None,
            }
        )
    return found


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last is done if each of the `workers` takes the next task as soon as it is free."""
    free = [0.0] * workers
    for duration in seconds:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def simulated(trials: Sequence[Trial], own: float, per_step: int, servers: int, cores: int) -> dict[str, float]:
    """The seconds of all steps by part: the `search` of each (`own`), its `builds` and its `runs`."""
    parts = {"search": 0.0, "builds": 0.0, "runs": 0.0}
    for start in range(0, len(trials), per_step):
        step = trials[start : start + per_step]
        parts["search"] += own
        parts["builds"] += makespan((trial.build for trial in step), cores)
        parts["runs"] += makespan((trial.run for trial in step), servers)
    return parts


def page(results: dict[str, Any]) -> str:
    """The Markdown page of the results."""
    rows = results["trials"]
    trials = [Trial(row["build"], row["run"]) for row in rows if not row["error"]]
    here = simulated(trials, 0.0, PER_STEP, SERVERS, results["threads"])
    own = max(0.0, (results["seconds"] - sum(here.values())) / results["steps"])
    drawn = random.Random(0).choices(trials, k=SIMULATED)
    lines = []
    for per_step, cores in HOSTS:
        parts = [simulated(drawn, own, per_step, servers, cores) for servers in SIZES]
        hourly = [3600 * SIMULATED / sum(part.values()) for part in parts]
        bound = max(parts[-1], key=parts[-1].__getitem__)
        lines.append([f"{per_step} trials, {cores} cores", *(f"{rate:,.0f}" for rate in hourly), bound])
    header = ("a step, the host", *(f"{size}\nserver{'s' * (size > 1)}" for size in SIZES), "bound by")
    run = [_line(number, row) for number, row in enumerate(rows, 1)]
    return TEXT.format(
        origin=measured.origin(results, "python benchmarks/fleet.py"),
        killed=results["killed"],
        seconds=results["seconds"],
        run=measured.lines_of(("trial", "ended after s", "best run ms"), run),
        scaling=measured.lines_of(header, lines),
        trials=len(rows),
        good=len(trials),
        build=sorted(trial.build for trial in trials)[len(trials) // 2],
        run_s=sorted(trial.run for trial in trials)[len(trials) // 2],
        own=own,
        per_step=PER_STEP,
        simulated=SIMULATED,
        most=SIZES[-1],
    )


def _line(number: int, row: dict[str, Any]) -> list[str]:
    return [f"{number}", f"{row['ended']:.0f}", f"{row['ms']:.3f}" if row["ms"] else "failed"]


if __name__ == "__main__":
    main()
