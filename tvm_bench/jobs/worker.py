"""Run one verb: `python -m tvm_bench.jobs.worker request.json receipt.json PARENT`. The child's side."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from ..host import packages, system_errors, user_code
from ..host.files import sha256, write_json
from ..host.machine import peak_rss_mb
from ..spec.errors import UserError

PR_SET_PDEATHSIG = 1
MOST_KILLABLE = "1000"  # the highest value of /proc/self/oom_score_adj


def main(request_path: str, receipt_path: str, parent: str) -> int:
    """Run the verb and write its receipt: the result, or the error. Returns the exit code.

    `parent` is the process ID of the launcher: the job ends when the launcher ends.
    """
    _die_with_parent(int(parent))
    faulthandler.enable()
    job = json.loads(Path(request_path).read_text())
    if job["cpus"]:
        # Before any import that starts threads: threads keep the mask with which they were started.
        os.sched_setaffinity(0, job["cpus"])
    began = time.time()
    try:
        # TVM imports it for its tuners, and with it scikit-learn: more than half of the time of `import tvm`.
        with packages.hidden("xgboost"):
            verb = importlib.import_module(f"tvm_bench.jobs.verbs.{job['verb']}")
        result = verb.run(**job["request"])
        outputs = {str(path): sha256(Path(path)) for path in result.pop("outputs", [])}
        receipt = {
            **job,
            "result": result,
            "outputs": outputs,
            "sources": {str(path): sha256(path) for path in user_code.loaded_sources()},
            "versions": packages.versions(),
            "seconds": round(time.time() - began, 3),
            "peak_rss_mb": peak_rss_mb(),
        }
    except Exception as error:
        write_json(Path(receipt_path), {**job, "error": _described(error)})
        return 1
    write_json(Path(receipt_path), receipt)
    return 0


def _described(error: Exception) -> dict[str, str]:
    """The error's `kind` (`user` or `crash`), its `message`, and for a crash its `traceback`."""
    if message := _for_the_user(error):
        return {"kind": "user", "message": message}
    lines = traceback.format_exception_only(error)[-1].strip().splitlines()
    # TVM's messages are stack traces, which end with the reason.
    message = f"{type(error).__name__}: {lines[-1].strip()}" if "Traceback (most recent" in lines[0] else lines[0]
    return {"kind": "crash", "message": message, "traceback": traceback.format_exc()}


def _for_the_user(error: Exception) -> str | None:
    """The message of an error that the user can fix; None for any other error."""
    if isinstance(error, UserError):
        return str(error)
    return system_errors.explained(error)


def _die_with_parent(parent: int) -> None:
    """End when the parent ends, and be the first to be killed when memory runs out (Linux only)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call above
        sys.exit(1)
    with suppress(OSError):  # a read-only /proc
        Path("/proc/self/oom_score_adj").write_text(MOST_KILLABLE)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
