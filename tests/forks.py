"""Commands and jobs as forks of a process that has imported torch and TVM: each is still a process of its own.

To import both takes more than two seconds, which most jobs of the tests do not take. The fork server is Python's. It
imports `preloaded.py` with the environment of a job of one thread and computes nothing, so it has one thread, and a
fork begins as a new process would after its imports. Where the process is what is tested, a test module names verbs in
`NEW_PROCESSES`: their jobs are new processes, as for a user.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace

import pytest

from tvm_bench.jobs import launcher

ROOT = Path(__file__).parent.parent


@cache
def server():
    """Start the server, which lives until this process ends. Returns its context of `multiprocessing`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "tests.forks", "tests.preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**launcher.child_environment(1), **launcher.SLEEPING}.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
        forkserver.ensure_running()
    return context


def command(arguments, *, cwd, environment, timeout, fresh=()):
    """Run `tvm-bench` with these arguments in a fork, its jobs as forks of that; returns the finished process."""
    return _finished(_command, arguments, fresh, cwd=cwd, environment=environment, timeout=timeout)


def call(function, *arguments, environment, cwd=ROOT, timeout=300):
    """Call a module's function in a fork with this environment. Raises `CalledProcessError` where it fails."""
    done = _finished(_call, function, arguments, cwd=cwd, environment=environment, timeout=timeout)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    done.check_returncode()


def _finished(target, *arguments, cwd, environment, timeout):
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "out"), Path(folder, "err")
        process = server().Process(target=target, args=(*arguments, str(cwd), environment, files))
        process.start()
        try:
            Fork(process).wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in files))


def patched(fresh=(), context=server):
    """What stands for the module `subprocess` in the launcher. Jobs of the verbs in `fresh` are new processes."""

    def popen(words, *, env, stdout, stderr, process_group):
        request, receipt, _ = words[-3:]
        verb = json.loads(Path(request).read_text())["verb"]
        if verb in fresh or words[0] != sys.executable:  # another environment has its own packages
            return subprocess.Popen(words, env=env, stdout=stdout, stderr=stderr, process_group=process_group)
        files = (stdout.name, stdout.name if stderr else None)
        process = context().Process(target=_job, args=(request, receipt, os.getcwd(), env, files))
        process.start()
        return Fork(process)

    return SimpleNamespace(Popen=popen, TimeoutExpired=subprocess.TimeoutExpired)


class Fork:
    """A started process with what the launcher uses of `subprocess.Popen`."""

    def __init__(self, process):
        self.process, self.pid = process, process.pid

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout)
        return self.process.exitcode


def _call(function, arguments, cwd, environment, files):
    _become(cwd, environment, files)
    function(*arguments)


def _command(arguments, fresh, cwd, environment, files):
    from tvm_bench.cli import main

    _become(cwd, environment, files)
    launcher.subprocess = patched(fresh, lambda: multiprocessing.get_context("fork"))
    sys.argv = ["tvm-bench", *arguments]
    main(arguments, prog_name="tvm-bench")


def _job(request, receipt, cwd, environment, files):
    import torch

    from tvm_bench.jobs import worker

    os.setpgid(0, 0)
    _become(cwd, environment, files)
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))  # it was loaded with that of another environment
    sys.exit(worker.main(request, receipt, str(os.getppid())))  # which may be the fork server


def _become(cwd, environment, files):
    """Take this folder, this environment, and these files for what is printed; None: go on printing where it goes."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    for number, file in enumerate(files, start=1):
        if file:
            with open(file, "ab") as opened:
                os.dup2(opened.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
