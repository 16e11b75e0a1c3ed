"""Tuning on a fleet: TVM's own tracker and two servers on loopback, one of which dies in the middle."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from tvm import rpc

from tests.conftest import ROOT, TINY
from tests.test_relax import needs_relax
from tvm_bench.host import environments

LOOPBACK = "127.0.0.1"


@pytest.fixture
def python():
    """The Python of the servers: that of Relay."""
    return sys.executable


@pytest.fixture
def fleet(python):
    """A tracker's port, and the processes of its two servers."""
    port = free_port()
    tracker = ("--tracker", f"{LOOPBACK}:{port}", "--key", "cpu")
    processes = [start(python, "rpc_tracker", port)]
    processes += [start(python, "rpc_server", free_port(), *tracker) for _ in range(2)]
    until = time.monotonic() + 60
    while registered(port) < 2:
        assert time.monotonic() < until, "the servers did not reach the tracker"
        time.sleep(0.5)
    yield port, processes[1:]
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start(python, module, port, *options):
    place = ["--host", LOOPBACK, "--port", str(port), "--port-end", str(port + 1)]
    command = [python, "-m", f"tvm.exec.{module}", *place, "--silent", *options]
    return subprocess.Popen(command, env={**os.environ, "TVM_NUM_THREADS": "1"}, start_new_session=True)


def free_port():
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return found.getsockname()[1]


def registered(port):
    try:
        return len(rpc.connect_tracker(LOOPBACK, port).summary()["server_info"])
    except (OSError, RuntimeError):
        return 0


RELAX = environments.python("relax")
TUNERS = [
    (sys.executable, "relay", "metaschedule"),
    (sys.executable, "relay", "autoscheduler"),
    pytest.param(RELAX, "relax", "metaschedule", marks=needs_relax),
]


@pytest.mark.slow  # two minutes each
@pytest.mark.parametrize(("python", "backend", "tuner"), TUNERS)
def test_a_fleet_continues_when_a_server_dies_while_it_measures(fleet, tmp_path, backend, tuner):
    port, servers = fleet
    at_rest = {server.pid: sessions(server) for server in servers}
    command = [
        *(
            "tune",
            "--model",
            TINY,
            "--backend",
            backend,
            "--tuner",
            tuner,
            "--precision",
            "fp32",
            "--trials",
            "4",
            "--threads",
            "1",
        ),
        *("--rpc-tracker", f"{LOOPBACK}:{port}", "--logs", tmp_path / "logs", "--artifacts", tmp_path / "artifacts"),
    ]
    tuning = subprocess.Popen([sys.executable, "-m", "tvm_bench", *map(str, command)], cwd=ROOT)
    until = time.monotonic() + 240
    while not (busy := [server for server in servers if sessions(server) > at_rest[server.pid]]):
        assert tuning.poll() is None and time.monotonic() < until, "no server was ever asked"
        time.sleep(0.02)
    os.killpg(busy[0].pid, signal.SIGKILL)
    assert tuning.wait(timeout=240) == 0
    (ledger,) = (tmp_path / "logs").rglob("ledger.json")
    tasks = json.loads(ledger.read_text())["tasks"]
    assert sum(task["trials"] for task in tasks) == 4
    assert any(task["best_ms"] for task in tasks), "the server that is left measured"


def sessions(server):
    """Processes below a server: one more for each connection that it serves."""
    return len(psutil.Process(server.pid).children(recursive=True))


@pytest.mark.slow  # it waits for a minute
def test_a_fleet_that_cannot_measure_costs_no_trial(fleet, cli, tmp_path):
    port, _ = fleet
    options = ("tune", "--model", TINY, "--precision", "fp32", "--tuner", "metaschedule", "--threads", "1")
    place = ("--logs", tmp_path / "logs", "--artifacts", tmp_path / "artifacts")
    done = cli(*options, *place, "--rpc-tracker", f"{LOOPBACK}:{free_port()}")
    assert done.returncode == 2 and "no RPC tracker answers" in done.stderr
    done = cli(*options, *place, "--rpc-tracker", f"{LOOPBACK}:{port}", "--rpc-key", "arm")
    assert done.returncode == 2 and "no server with the key 'arm'" in done.stderr and "cpu" in done.stderr
    assert not list(tmp_path.rglob("ledger.json"))


def test_a_tracker_is_named_by_host_and_port(cli, tmp_path):
    done = cli("tune", "--model", TINY, "--rpc-tracker", "nowhere", "--artifacts", tmp_path)
    assert done.returncode == 2 and "HOST:PORT" in done.stderr
