"""Child side of a job: `python -m tvm_bench.job request.json receipt.json`."""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from . import toolchains
from .errors import UserError
from .files import sha256, write_json
from .measure.machine import peak_rss_mb

VERBS = {
    "models": "tvm_bench.models.describe:names",
    "describe": "tvm_bench.models.describe:describe",
    "compress": "tvm_bench.compress.apply:compress",
    "prepare": "tvm_bench.export.prepare:prepare",
    "templates": "tvm_bench.backends.relay.templates:tune",
    "autoscheduler": "tvm_bench.backends.relay.autoscheduler:tune",
    "metaschedule": "tvm_bench.backends.relay.metaschedule:tune",
    "build": "tvm_bench.backends.relay.library:build",
    "profile": "tvm_bench.backends.relay.profile:profile",
    "evaluate": "tvm_bench.measure.accuracy:evaluate",
    "measure": "tvm_bench.measure.latency:measure",
    "layers": "tvm_bench.measure.layers:layers",
    "gallery": "tvm_bench.measure.gallery:gallery",
    "operators": "tvm_bench.measure.operators:operators",
    "classify": "tvm_bench.measure.accuracy:classify",
    "train": "tvm_bench.training.run:run",
}
USER_ERROR, USER_ERROR_EXIT = "tvm-bench error: ", 2  # launch.py looks for both
PR_SET_PDEATHSIG = 1
FIRST_TO_DIE = "1000"  # of what the kernel's out-of-memory killer weighs, the most


def main(request_path: str, receipt_path: str) -> int:
    """Run one verb. A user's error is printed and exits with 2; anything else leaves its traceback and exits with 1."""
    _die_with_parent()
    asked = json.loads(Path(request_path).read_text())
    if asked["cpus"]:
        # Before anything is imported that starts threads: those that live keep the mask they were born with.
        os.sched_setaffinity(0, asked["cpus"])
    module, _, function = VERBS[asked["verb"]].partition(":")
    began = time.time()
    try:
        result = getattr(importlib.import_module(module), function)(**asked["request"])
        outputs = {str(path): sha256(Path(path)) for path in result.pop("outputs", [])}
        receipt = {
            **asked,
            "result": result,
            "outputs": outputs,
            "versions": toolchains.versions(),
            "seconds": round(time.time() - began, 3),
            "peak_rss_mb": peak_rss_mb(),
        }
        write_json(Path(receipt_path), receipt)
        return 0
    except Exception as error:
        message = _for_the_user(error)
        if message is None:
            traceback.print_exc()
            return 1
        print(f"{USER_ERROR}{message}")
        return USER_ERROR_EXIT


def _for_the_user(error: Exception) -> str | None:
    """The text for an error that the user can mend, None for any other."""
    if isinstance(error, UserError):
        return str(error)
    # Compilers and writers wrap ENOSPC in errors of their own: the words are what they have in common.
    if "No space left on device" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
        return f"the disk is full ({error}). Free some space, or give another --artifacts folder, and run again."
    if isinstance(error, PermissionError):
        return f"no permission: {error}. Give an --artifacts folder that you may write to."
    return None


def _die_with_parent() -> None:
    """A parent that is killed takes its job along, so that the next run finds no stranger at work; and when memory runs
    out, the kernel kills the job and not the parent (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_DIE)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
