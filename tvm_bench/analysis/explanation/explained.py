"""The explanation of a library: its kernels with their limits, and all findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..machine_code.instructions import Evidence
from ..machine_code.kernel_code import KernelCode
from . import findings, roofline
from .findings import Finding
from .roofline import Limit, Machine

LEAST_SHARE = 0.01  # of the time of the model: smaller kernels have no findings


@dataclass(frozen=True)
class Kernel:
    """A kernel: milliseconds of all its calls (None: not run), its share of all kernels, and its limit.

    `reached` is the share of the limit, from 0 to 1: the least time by its time. `gops` are 10^9 operations per second,
    those of a direct convolution. `hot` is its hottest loop.
    """

    name: str
    convolution: str
    schedule: str
    origin: str
    calls: int
    ms: float | None
    share: float | None
    gops: float | None
    limit: Limit | None
    hot: Evidence | None

    @property
    def reached(self) -> float | None:
        """The share of the limit that it reaches."""
        return self.limit.ms / self.ms if self.limit and self.ms else None


@dataclass(frozen=True)
class Explanation:
    """Kernels, the slowest first, and findings; `model_ms` is the time of the whole model (None: not run).

    `peaks` is what this CPU gave in the same minute, as in `roofline.Machine`.
    """

    kernels: tuple[Kernel, ...]
    findings: tuple[Finding, ...]
    model_ms: float | None
    peaks: Mapping[str, float]

    @property
    def kernels_ms(self) -> float:
        """The milliseconds of all kernels together."""
        return sum(kernel.ms or 0.0 for kernel in self.kernels)


def explain(
    about: Mapping[str, Any],
    codes: Mapping[str, KernelCode],
    times: Mapping[str, float],
    machine: Machine,
    model_ms: float | None,
    cpu_features: Iterable[str],
    cores: int,
) -> Explanation:
    """Explain a library from its manifest `about`, the code of its kernels, and their `times` in ms (empty: not run).

    `cpu_features` and `cores` are those of this machine, see `findings.of_library`.
    """
    described = about["kernels"]
    constants = sum(kernel.get("constant_bytes") or 0 for kernel in described.values())
    total = sum(times.values())
    kernels, found = [], findings.of_library(about, codes, cpu_features, cores)
    if times:
        found += findings.of_times(described, times)
    found += findings.too_large(constants, machine.caches)
    for name, kernel in sorted(described.items(), key=lambda item: -times.get(item[0], 0.0)):
        ms, code = times.get(name), codes.get(name)
        share = ms / total if ms is not None and total else None
        work = (kernel.get("operations") or 0.0) * kernel.get("calls", 1)
        kernels.append(
            Kernel(
                name=name.removeprefix("tvmgen_default_"),
                convolution=kernel.get("convolution", ""),
                schedule=kernel.get("schedule", ""),
                origin=kernel.get("record") or kernel.get("kind", ""),
                calls=kernel.get("calls", 1),
                ms=ms,
                share=share,
                gops=work / 1e6 / ms if work and ms else None,
                limit=roofline.limit(kernel, code, machine, constants),
                hot=code.hot if code else None,
            )
        )
        if share is None or share >= LEAST_SHARE:
            found += findings.of_kernel(kernels[-1].name, kernel, code, about, ms)
    return Explanation(tuple(kernels), tuple(found), model_ms, machine.peaks)
