"""A CPU of its own for each of pytest's two workers: masked jobs of both would share the first one."""

import os

from tvm_bench.host import cpu

first_cpus = cpu.mask


def last_cpus(threads):
    """As `cpu.mask`, from the other end."""
    return first_cpus(threads) and sorted(os.sched_getaffinity(0))[-threads:]


def share():
    # TVM would bind the worker's own thread to the first CPU, and with it all that the worker starts.
    os.environ["TVM_BIND_THREADS"] = "0"
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:] in "13579":
        cpu.mask = last_cpus
