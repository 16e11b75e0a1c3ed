"""Huge pages: what a program allocates, and where it gets them from."""

import json
import os
import subprocess
import sys

import pytest

from tvm_bench.host import huge_pages, machine

MB = 20
# Written within the block, or after it.
ALLOCATE = """
import json, mmap, sys
from contextlib import nullcontext
from tvm_bench.host import huge_pages, machine
size, ask, late = int(sys.argv[1]) * 10**6, sys.argv[2] == "asked", sys.argv[3] == "late"
before = machine.huge_pages_mb()
with huge_pages.for_new_memory() if ask else nullcontext():
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) if sys.argv[4] == "mapped" else bytearray(size)
    if not late:
        memory[:] = b"x" * size
if late:
    memory[:] = b"x" * size
print(json.dumps([machine.huge_pages_mb() - before, memory[0] == memory[size - 1] == ord("x")]))
"""


def allocated(*arguments, **environment):
    command = [sys.executable, "-c", ALLOCATE, str(MB), *arguments]
    without = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    return json.loads(subprocess.check_output(command, text=True, env=without | environment))


@pytest.mark.skipif(
    machine.huge_pages() != "madvise", reason="the kernel does not give huge pages to who asks for them"
)
@pytest.mark.parametrize("moment", ["early", "late"])
def test_new_memory_gets_huge_pages_if_asked(moment):
    in_huge_pages, same = allocated("asked", moment, "mapped")
    assert in_huge_pages > MB / 2 and same
    assert allocated("not asked", moment, "mapped") == [0.0, True]


@pytest.mark.skipif(
    machine.huge_pages() != "madvise", reason="the kernel does not give huge pages to who asks for them"
)
def test_jobs_get_huge_pages_from_the_c_library():
    in_huge_pages, _ = allocated("not asked", "early", "of glibc", GLIBC_TUNABLES=huge_pages.TUNABLE)
    assert in_huge_pages > MB / 2
    assert allocated("not asked", "early", "of glibc")[0] < MB / 2


def test_without_permission_of_the_kernel_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(machine, "huge_pages", lambda: "never")
    monkeypatch.setattr(huge_pages, "_whole_pages", lambda: pytest.fail("looked at the memory"))
    with huge_pages.for_new_memory():
        pass
