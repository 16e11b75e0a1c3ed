"""What the machine code of a kernel shows: its hottest loop, and the functions that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import functions, loops
from .functions import Function
from .instructions import Evidence, Kind, evidence

PARALLEL = "__TVMBackendParallelLaunch"
LEAST_PRODUCTS = 8  # of a loop that computes
HARMLESS = ("memcpy", "memset", "memmove")


@dataclass(frozen=True)
class KernelCode:
    """The machine code of a kernel.

    `hot` is the loop with the largest share of products, without the loops in it: of integers if there are some, else
    of floats; without products, the longest (None: there is no loop). `everything` are the instructions of all loops.
    `parallel`: it starts threads. `calls` are functions of other libraries that it calls, such as `expf`.
    """

    hot: Evidence | None
    everything: Evidence
    parallel: bool
    calls: tuple[str, ...]


def of_library(library: Path, kernels: Iterable[str]) -> dict[str, KernelCode]:
    """The code of each kernel by name, without those that have no symbol. The library is read, not opened.

    Raises `UserError` for a file that is no library for x86-64.
    """
    return {name: _code(found) for name, found in functions.of_kernels(library, kernels).items()}


def _code(found: list[Function]) -> KernelCode:
    bodies = [body for function in found for body in loops.bodies(function.instructions)]
    evidences = [evidence(body) for body in bodies]
    imports = {name for function in found for name in function.imports}
    return KernelCode(
        hot=max(evidences, key=_heat, default=None),
        everything=evidence(instruction for body in bodies for instruction in body),
        parallel=PARALLEL in imports,
        calls=tuple(sorted(name for name in imports if not name.startswith("__") and name not in HARMLESS)),
    )


def _heat(loop: Evidence) -> tuple[float, ...]:
    """Loops with products of integers are hotter, then those with the largest share of products.

    How often a loop runs is not known. The transforms of Winograd's algorithm have more products than its matrix
    product, and fewer for each instruction.
    """
    found = loop.integer_products or loop.products
    dense = found / loop.instructions if found >= LEAST_PRODUCTS else 0.0
    return float(loop.integer_products > 0), dense, found, loop.kinds.get(Kind.SCALAR, 0), loop.instructions
