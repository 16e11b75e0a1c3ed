"""Parent side of a job: request.json out, receipt.json in, and nothing done twice."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import cpu, toolchains
from .errors import UserError
from .files import sha256, write_json

# The child's environment is built, not inherited: a stray OMP_NUM_THREADS would decide the race.
INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "CXX"),
    *("TORCH_HOME", "XDG_CACHE_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "LD_LIBRARY_PATH"),
    "CUDA_VISIBLE_DEVICES",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS")
HOUR = 3600.0
PACKAGE = Path(__file__).parent


class JobError(Exception):
    """A job that died or failed for a reason that is not the user's input. `str()` is its last words."""


def job(
    verb: str,
    request: dict[str, Any],
    folder: Path,
    *,
    label: str,
    inputs: tuple[Path, ...] = (),
    depends: str = "",
    threads: int = 1,
    masked: bool = False,
    toolchain: str = "main",
    keep: bool = True,
    timeout: float = HOUR,
    show: bool = False,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run `verb` in a process of its own and return its receipt; with `keep`, one that still holds is returned instead.

    A receipt holds while the request, the SHA-256 of every input and output, what else it `depends` on, the versions,
    the code and the CPU are the same. `masked` keeps the job to as many CPUs as `threads`. `folder/<label>.log` has
    what the job printed; `show` lets it print to the terminal; `environment` is added to the child's. Raises
    `UserError` for what the user can mend, `JobError` for the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    receipt_path = folder / f"{label}.receipt.json"
    with locked(folder / f"{label}.lock"):
        key = _key(verb, request, inputs, depends, threads)
        if keep and (receipt := _valid(receipt_path, key)):
            return receipt
        receipt_path.unlink(missing_ok=True)
        request_path = folder / f"{label}.request.json"
        cpus = cpu.mask(threads) if masked else None
        write_json(request_path, {"verb": verb, "key": key, "cpus": cpus, "request": request})
        command = [toolchains.interpreter(toolchain), "-m", "tvm_bench.job", str(request_path), str(receipt_path)]
        _run(command, folder / f"{label}.log", child_environment(threads, cpus) | (environment or {}), timeout, show)
        if not receipt_path.exists():
            raise JobError(f"ended before its work was done, with exit code 0 (what it printed: {folder / label}.log)")
        return json.loads(receipt_path.read_text())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock: two runs in one checkout take turns. The kernel drops it when the process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run that holds {path}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(verb: str, request: dict, inputs: tuple[Path, ...], depends: str, threads: int) -> str:
    code = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.relative_to(PACKAGE).parts[0] not in PARENT_SIDE:
            code.update(file.read_bytes())
    parts = {
        "verb": verb,
        "request": request,
        "inputs": [sha256(path) for path in inputs],
        "depends": depends,
        "threads": threads,
        "versions": toolchains.versions(),
        "code": code.hexdigest(),
        "cpu": [cpu.model_name(), sorted(cpu.host_features())],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


# Code that no job runs: changing it leaves the receipts as they are.
PARENT_SIDE = {
    "cli",
    "commands.py",
    "compression.py",
    "doctor.py",
    "race.py",
    "trial.py",
    "tuning.py",
    "workbench.py",
    "launch.py",
    "limits.py",
    "inspect",
    "report",
    "results.py",
    "terms.py",
    "progress.py",
    "__main__.py",
}


def _valid(path: Path, key: str) -> dict | None:
    """The receipt at `path`, if it answers `key` and its outputs are what they were."""
    try:
        receipt = json.loads(path.read_text())
        whole = all(sha256(Path(output)) == digest for output, digest in receipt["outputs"].items())
    except (OSError, ValueError, KeyError):
        return None
    return receipt if receipt["key"] == key and whole else None


def child_environment(threads: int, cpus: list[int] | None = None) -> dict[str, str]:
    """What a process that measures gets: the budget of every library, and nothing inherited that could change it."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment.update({name: str(threads) for name in THREAD_VARIABLES})
    # TVM would otherwise look for schedules on the network, and pin its threads outside the mask.
    environment["TOPHUB_LOCATION"] = "NONE"
    environment["NNCF_CI"] = "1"  # else NNCF reports its use over the network
    if cpus or cpu.cores() < (os.cpu_count() or 1):
        environment["TVM_BIND_THREADS"] = "0"
    return environment


def _run(command: list[str], log: Path, environment: dict[str, str], timeout: float, show: bool) -> None:
    """Wait for the child (blocked, never polling). Raises `UserError` on exit 2, `JobError` on any other failure."""
    process = subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        process_group=0,  # so that what the child started ends with it
    )
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        log.write_text(process.communicate()[0] or "")
        raise JobError(f"took longer than {timeout:.0f} s and was stopped (what it printed: {log})") from None
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    printed = printed or ""
    log.write_text(printed)
    if process.returncode == 2:
        raise UserError(printed.rpartition(USER_ERROR)[2].strip())
    if process.returncode:
        last = printed.strip().splitlines()[-1:] or ["it printed nothing"]
        raise JobError(f"{_ending(process.returncode)}: {last[0]} (all of it: {log})")


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"


USER_ERROR = "tvm-bench error: "
