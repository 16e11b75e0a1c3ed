"""Pages of 2 MB for weights and workspace, so that the CPU has fewer addresses to look up. Standard library only.

A process whose $GLIBC_TUNABLES asks for them gets them from glibc for all large memory: so do all that a race times.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import machine

TUNABLE = "glibc.malloc.hugetlb=1"
SIZE = 2 << 20
COLLAPSE = 25  # `MADV_COLLAPSE` of Linux 6.1, which the module mmap does not have
ANONYMOUS = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(?:\[heap\])?$", re.MULTILINE)


@contextmanager
def for_new_memory() -> Iterator[None]:
    """Ask for huge pages for the memory that is allocated within. Nothing happens where the kernel has none to give."""
    if machine.huge_pages() not in ("always", "madvise"):
        yield
        return
    before = _whole_pages()
    yield
    library = ctypes.CDLL(None)
    for page in _whole_pages() - before:
        address, size = ctypes.c_void_p(page * SIZE), ctypes.c_size_t(SIZE)
        for advice in (mmap.MADV_HUGEPAGE, COLLAPSE):  # for what is written later, and for what was written already
            library.madvise(address, size, advice)


def _whole_pages() -> set[int]:
    """The numbers of the huge pages whose whole range is private, writable memory without a file."""
    ranges = ((int(start, 16), int(end, 16)) for start, end in ANONYMOUS.findall(Path("/proc/self/maps").read_text()))
    return {page for start, end in ranges for page in range(-(-start // SIZE), end // SIZE)}
