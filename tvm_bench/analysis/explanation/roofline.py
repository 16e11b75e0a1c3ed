"""The least time that a kernel could take on this CPU: by its operations, or by the bytes that it moves.

Williams, Waterman and Patterson 2009, "Roofline: An Insightful Visual Performance Model", CACM 52 (4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..machine_code.instructions import Kind
from ..machine_code.kernel_code import KernelCode

# The share of the direct convolution's multiplications that Winograd needs, by the name of the schedule.
WINOGRAD = {"winograd4": 36 / (16 * 9), "winograd2": 16 / (4 * 9)}
COMPUTING, MOVING = "arithmetic", "memory"
MILLI = 1e-3


@dataclass(frozen=True)
class Limit:
    """The least milliseconds of all calls of a kernel, and what sets them: `arithmetic` or `memory`.

    `kind` is the arithmetic: `fp32`, `int8`, `int16` or `bf16`. `operations` are those that all calls compute, fewer
    than a direct convolution's where the schedule is Winograd's, and `bytes` are those that they move.
    """

    ms: float
    by: str
    kind: str
    operations: float
    bytes: float


@dataclass(frozen=True)
class Machine:
    """What a CPU gives: `peaks` in 10^9 operations or bytes per second, and bytes of its `caches` by level.

    `peaks` has `fp32`, `int8`, `int16`, `bf16`, `l2`, `l3` and `memory`, as far as measured. The L2 cache is each
    core's own.
    """

    peaks: Mapping[str, float]
    caches: Mapping[int, int]
    threads: int

    def bandwidth(self, size: float) -> float:
        """Bytes per second from the smallest cache that holds `size` bytes, or from memory; 0 if it is not known."""
        private = self.caches.get(2, 0) * self.threads
        if size <= private and "l2" in self.peaks:
            return 1e9 * self.peaks["l2"]
        if size <= self.caches.get(3, 0) and "l3" in self.peaks:
            return 1e9 * self.peaks["l3"]
        return 1e9 * self.peaks.get("memory", 0.0)


def limit(kernel: Mapping[str, Any], code: KernelCode | None, machine: Machine, all_constants: float) -> Limit | None:
    """The limit of a kernel of a manifest; None if nothing is known of it.

    Constants come from the memory that holds `all_constants`, the bytes of those of all kernels: each inference reads
    them all. Data comes from the memory that holds the data of the kernel.
    """
    calls, kind = kernel.get("calls", 1), _kind(kernel, code)
    operations = kernel.get("operations") or 0.0
    operations *= WINOGRAD.get(kernel.get("schedule", ""), 1.0)
    computing = operations / (1e9 * machine.peaks[kind]) if machine.peaks.get(kind) else 0.0
    data, constants = kernel.get("data_bytes") or 0.0, kernel.get("constant_bytes") or 0.0
    moving = sum(
        size / speed
        for size, held in ((data, data), (constants, all_constants))
        if size and held and (speed := machine.bandwidth(held))
    )
    if not (computing or moving):
        return None
    by = COMPUTING if computing >= moving else MOVING
    return Limit(calls * max(computing, moving) / MILLI, by, kind, calls * operations, calls * (data + constants))


def _kind(kernel: Mapping[str, Any], code: KernelCode | None) -> str:
    """The arithmetic: by the instructions of the hottest loop, else by the name of the convolution."""
    found = code.hot.kinds if code and code.hot else {}
    for kind, name in (
        (Kind.INT8_DOT, "int8"),
        (Kind.INT8_PAIRS, "int8"),
        (Kind.INT16_DOT, "int16"),
        (Kind.BF16_DOT, "bf16"),
        (Kind.FMA, "fp32"),
    ):
        if found.get(kind):
            return name
    convolution = kernel.get("convolution", "")
    return next((name for name in ("int8", "bf16") if convolution.startswith(name)), "fp32")
