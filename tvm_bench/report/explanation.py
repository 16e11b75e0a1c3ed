"""The tables and the sentences of the command `explain`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..analysis.explanation import roofline
from ..analysis.explanation.explained import LEAST_SHARE, Explanation, Kernel
from ..analysis.explanation.findings import Finding
from ..analysis.machine_code.instructions import PRODUCTS
from . import formatting
from .table import Table

HEADER = ("kernel", "computes", "schedule", "ms", "share", "GOP/s", "of the\nlimit", "by")
LOOPS = ("kernel", "instructions", "products", "on the stack", "others")
SHORT = 34  # characters of a kernel's name


def tables(explanation: Explanation) -> list[Table]:
    """One row for each kernel, the slowest first; then the hottest loops of those that take some time."""
    kernels = explanation.kernels
    large = [(number, k) for number, k in enumerate(kernels, 1) if k.share is None or k.share >= LEAST_SHARE]
    loops = [_loop(number, kernel) for number, kernel in large]
    lines = [_line(number, kernel) for number, kernel in enumerate(kernels, 1)]
    return [
        Table("kernels and their limits", HEADER, lines),
        Table("hottest loops, in instructions", LOOPS, [line for line in loops if line]),
    ]


def sentences(explanation: Explanation) -> list[str]:
    """Where the time goes, and the findings, those of one name together."""
    numbers = {kernel.name: number for number, kernel in enumerate(explanation.kernels, 1)}
    groups: dict[str, list[Finding]] = {}
    for finding in explanation.findings:
        groups.setdefault(finding.name, []).append(finding)
    found = [_finding(group, numbers) for group in groups.values()]
    return [_sum(explanation), *(found or ["No findings."])]


def summary(explanation: Explanation) -> str:
    """What limits a library that was run, and what would help, in a few words."""
    limited = [(kernel.limit, kernel.ms) for kernel in explanation.kernels if kernel.limit and kernel.ms]
    times: dict[str, float] = defaultdict(float)
    for limit, ms in limited:
        times[limit.by] += ms
    if not times:
        return first_finding(explanation.findings)
    by, ms = max(times.items(), key=lambda item: item[1])
    reached, share = (part / explanation.kernels_ms for part in (sum(limit.ms for limit, _ in limited), ms))
    text = f"its kernels reach {reached:.0%} of what this CPU can do, and {by} limits {share:.0%} of their time"
    return f"{text}. {first_finding(explanation.findings)}"


def first_finding(findings: Sequence[Finding]) -> str:
    """The first of the findings with its cure."""
    return f"{findings[0].name}: {findings[0].text}. {findings[0].cure}" if findings else "No findings."


def to_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON values."""
    kernels = [{**asdict(kernel), "reached": kernel.reached} for kernel in explanation.kernels]
    return {
        "model_ms": explanation.model_ms,
        "kernels_ms": explanation.kernels_ms,
        "peaks": dict(explanation.peaks),
        "kernels": kernels,
        "findings": [asdict(finding) for finding in explanation.findings],
    }


def _line(number: int, kernel: Kernel) -> list[str]:
    none, limit = formatting.NONE, kernel.limit
    return [
        _named(number, kernel),
        kernel.convolution or none,
        kernel.schedule or none,
        none if kernel.ms is None else f"{kernel.ms:.3f}",
        none if kernel.share is None else f"{kernel.share:.1%}",
        none if kernel.gops is None else f"{kernel.gops:,.0f}",
        none if kernel.reached is None else f"{kernel.reached:.0%}",
        none if limit is None else limit.kind if limit.by == roofline.COMPUTING else limit.by,
    ]


def _loop(number: int, kernel: Kernel) -> list[str]:
    hot = kernel.hot
    if not hot:
        return []
    kinds = sorted(hot.kinds.items(), key=lambda item: -item[1])
    products, others = (
        ", ".join(f"{count} {kind}" for kind, count in kinds if (kind in PRODUCTS) == wanted)
        for wanted in (True, False)
    )
    stack = str(hot.spills) if hot.spills else formatting.NONE
    return [
        _named(number, kernel),
        str(hot.instructions),
        products or formatting.NONE,
        stack,
        others or formatting.NONE,
    ]


def _named(number: int, kernel: Kernel) -> str:
    return f"{number:2d} {kernel.name.removeprefix('fused_')[:SHORT]}"


def _sum(explanation: Explanation) -> str:
    if explanation.model_ms is None:
        return "This CPU cannot run the library: its machine code was read, and no time was measured."
    rest = explanation.model_ms - explanation.kernels_ms
    limits = sum(kernel.limit.ms for kernel in explanation.kernels if kernel.limit)
    return (
        f"The model takes {explanation.model_ms:.3f} ms: {explanation.kernels_ms:.3f} in its kernels, each timed by "
        f"itself, and {rest:+.3f} beside them. If every kernel reached its limit, it would take {limits:.3f} ms."
    )


def _finding(found: list[Finding], numbers: dict[str, int]) -> str:
    """All findings of one name: the first in words, then the other kernels."""
    first, *others = found
    place = f" in kernel {numbers[first.kernel]}" if first.kernel else ""
    more = f" Also in {', '.join(str(numbers[other.kernel]) for other in others if other.kernel)}." if others else ""
    return f"{first.name}{place}: {first.text}.{more} {first.cure}"
