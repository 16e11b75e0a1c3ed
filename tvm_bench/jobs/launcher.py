"""Start a job in a process of its own, and return its receipt. The parent's side."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host import cpu, environments, huge_pages, packages, quiet
from ..host.files import write_json
from ..spec.errors import Error, UserError
from . import planning, receipts

# The child's environment is built from this list, not inherited: a stray OMP_NUM_THREADS would distort a race.
INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "CXX"),
    *("TORCH_HOME", "XDG_CACHE_HOME", "SSL_CERT_FILE", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    quiet.VARIABLE,
    "COVERAGE_PROCESS_CONFIG",  # set by coverage.py, which then counts the lines that run in jobs
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS")
# Jobs of these verbs time nothing. Their idle threads sleep: two jobs whose threads wait actively take the CPUs from
# each other, and far longer than one after the other.
UNTIMED = frozenset(
    {"classify", "compress", "describe", "diff", "evaluate", "figures", "layers", "prepare", "prepare_program", "train"}
)
# Jobs of these verbs run a library, which needs neither torch nor the compiler.
RUNTIME_ONLY = frozenset({"classify", "verify"})
TVM_THREADS = {"TVM_BIND_THREADS": "0", "TVM_THREAD_POOL_SPIN_COUNT": "1000"}  # backends/relay/runtime.py says why
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "TVM_THREAD_POOL_SPIN_COUNT": "0"}
LOG = logging.getLogger(__name__)
HOUR = 3600.0
DAY = 24 * HOUR
# The lock for measuring: only one race or tuning step runs on this machine at a time.
MEASURING = Path(tempfile.gettempdir()) / f"tvm-bench-measuring-{os.getuid()}.lock"


class JobError(Error):
    """A job that crashed, hung or was killed. The message is the last line that it printed."""


@dataclass(frozen=True)
class Job:
    """One call of a verb (see `verbs/`).

    The job's output goes to `folder/<label>.log`; with `show`, its progress and warnings go to the terminal instead.
    With `reuse`, a receipt whose cache key, outputs and sources still match is returned and nothing runs. The key
    covers the request, the SHA-256 of the `inputs`, `depends` (any text), the package versions, the code and the CPU.
    `masked` binds the job to as many CPUs as it has `threads`. An `exclusive` job measures: it waits until no other job
    holds the lock `MEASURING`. `timeout` is in seconds. `venv` names the environment whose Python runs it (None: this
    one; see host/environments.py).
    """

    verb: str
    request: dict[str, Any]
    folder: Path
    label: str
    inputs: tuple[Path, ...] = ()
    depends: str = ""
    threads: int = 1
    masked: bool = False
    exclusive: bool = False
    reuse: bool = True
    timeout: float = HOUR
    show: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    venv: str | None = None

    def path(self, kind: str) -> Path:
        """The job's file of this kind, such as `receipt.json`."""
        return self.folder / f"{self.label}.{kind}"


def run(job: Job) -> dict[str, Any]:
    """Run the job and return its receipt; within `planning`, only note it.

    Raises `UserError` for errors of the user, `JobError` for all others.
    """
    if job.verb not in RUNTIME_ONLY:
        packages.need_workbench()
    job.folder.mkdir(parents=True, exist_ok=True)
    receipt_path, plan = job.path("receipt.json"), planning.current()
    with locked(job.path("lock")):
        key = ""
        if job.reuse:
            versions = environments.versions(job.venv) if job.venv else packages.versions()
            key = receipts.key(job.verb, job.request, job.inputs, job.depends, job.threads, versions)
            if receipt := receipts.valid(receipt_path, key):
                LOG.info("%s: reused", job.label)
                return plan.consult(job.verb, receipt_path, receipt) if plan else receipt
        if plan:
            return plan.consult(job.verb, receipt_path, None)
        receipt_path.unlink(missing_ok=True)
        cpus = cpu.mask(job.threads) if job.masked else None
        write_json(job.path("request.json"), {"verb": job.verb, "key": key, "cpus": cpus, "request": job.request})
        with locked(MEASURING) if job.exclusive else nullcontext():
            waiting = SLEEPING if job.verb in UNTIMED else {}
            exit_code = _wait_for(job, child_environment(job.threads) | waiting | job.environment)
        receipt = _receipt(job, exit_code)
        LOG.info("%s: %.1f s, see %s", job.label, receipt["seconds"], job.path("log"))
        return receipt


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two processes take turns. The kernel releases it when the process ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run that holds {path}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def child_environment(threads: int) -> dict[str, str]:
    """The environment of a job: one thread count for all libraries; only the variables in `INHERITED` are inherited."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment.update({name: str(threads) for name in THREAD_VARIABLES})
    if compiler := packages.compiler():
        environment["CXX"] = compiler  # TVM and Inductor cannot run `ccache g++`
    environment["TOPHUB_LOCATION"] = "NONE"  # without it, TVM would look for schedules on the network
    environment["NNCF_CI"] = "1"  # without it, NNCF reports its use over the network
    environment["GLIBC_TUNABLES"] = huge_pages.TUNABLE  # for all runtimes alike: tvm_bench.load asks for huge pages
    environment |= TVM_THREADS
    return environment


def _wait_for(job: Job, environment: dict[str, str]) -> int:
    """Start the worker and wait without polling. Returns its exit code; raises `JobError` after the job's timeout."""
    # -P: a file of the current folder must not stand in for a package of the same name.
    python = str(environments.python(job.venv)) if job.venv else sys.executable
    command = [python, "-P", "-m", "tvm_bench.jobs.worker"]
    command += [str(job.path("request.json")), str(job.path("receipt.json")), str(os.getpid())]
    with job.path("log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=None if job.show else log,
            process_group=0,  # so that what the child started ends with it
        )
        try:
            return process.wait(job.timeout)
        except subprocess.TimeoutExpired:
            raise JobError(f"took longer than {job.timeout:.0f} s and was stopped; see {job.path('log')}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _receipt(job: Job, exit_code: int) -> dict[str, Any]:
    """Returns the receipt that the worker wrote, or raises the error in it."""
    log, path = job.path("log"), job.path("receipt.json")
    receipt = json.loads(path.read_text()) if path.exists() else {}
    if error := receipt.get("error"):
        path.unlink()  # a failed job is never reused
        if error["kind"] == "user":
            raise UserError(error["message"])
        with log.open("a") as file:
            file.write(error["traceback"])
        raise JobError(f"failed with {error['message']}; see {log}")
    if exit_code or not receipt:
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it printed nothing"]
        raise JobError(f"{_ending(exit_code)}: {last[0]}; see {log}")
    return receipt


def _ending(exit_code: int) -> str:
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code} and no receipt"
