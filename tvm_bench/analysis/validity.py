"""The terms of a race: what disturbs a round, and what a variant must not do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .accuracy import wilson
from .results import Row


@dataclass(frozen=True)
class ValidityLimits:
    """The limits. Shares of CPU time are of what the thread budget could use while samples were taken."""

    others_share: float = 0.10  # by other processes
    steal_share: float = 0.02  # by the hypervisor
    unseen_seconds: float = 0.02  # /proc/stat counts in ticks of 10 ms: one more at either end says nothing
    repeats: int = 2  # of one round of a variant that was disturbed
    repeated_share: float = 0.5  # of all rounds of a race; a machine that is always busy must not hold it up for ever
    own_share: float = 1.05  # CPU seconds of the variant itself
    own_seconds: float = 0.01
    fp32_distance: float = 1e-3  # of an image's scores to the reference's, relative to their length
    # Quantized scores lie apart by a few percent, all images alike (INT8 ResNet-18 on 600 pictures: median 0.03, worst
    # 0.14); another image's scores lie far outside.
    distance: float = 0.5
    times_median: float = 8.0
    source_agreement: float = 0.97  # share of images that a library classifies as its source does


def disturbance(watch: dict[str, Any], threads: int, terms: ValidityLimits) -> str | None:
    """What disturbed a round, by its `watch` (see measure/watch.py); None where nothing did, or nothing is known."""
    unseen = terms.unseen_seconds / (watch["seconds"] * threads)
    for what, share, limit in (
        ("other programs", watch["others_share"], terms.others_share),
        ("the hypervisor", watch["steal_share"], terms.steal_share),
    ):
        if share is not None and share > limit + unseen:
            return f"{what} took {share:.0%} of the CPU time of {_threads(threads)}"
    return None


def greed(found: dict[str, Any], threads: int, terms: ValidityLimits) -> str | None:
    """Whether a round (what `measure` returns) used more than `threads`, in words; None where it did not."""
    seconds = found["watch"]["seconds"]
    if found["cpu_per_wall"] * seconds > threads * terms.own_share * seconds + terms.own_seconds:
        return f"used {found['cpu_per_wall']:.2f} CPU seconds a second on a budget of {_threads(threads)}"
    if found["working_threads"] > threads:
        return f"computed with {found['working_threads']} threads on a budget of {_threads(threads)}"
    return None


def staleness(found: dict[str, Any]) -> str | None:
    """Whether a variant answered while it was timed as it did when its answers were checked; None where it did."""
    wrong, calls = found["wrong_calls"], len(found["latency_ms"])
    return f"gave wrong answers in {wrong} of {calls} timed calls" if wrong else None


def wrongness(row: Row, terms: ValidityLimits) -> str | None:
    """Whether the answers to the test images are not those of the model, in words; None where they are.

    An FP32 variant must answer as the reference on every image. Another precision is compared with the file that it was
    built from, or with the reference: no image may lie far outside of how all others differ.
    """
    found = row.distances or {}
    if row.precision == "fp32":
        worst = found["reference"]["worst"] if "reference" in found else 0.0
        if not worst <= terms.fp32_distance:  # NaN is wrong too
            return f"its worst image is {worst:.2g} off the FP32 reference; {terms.fp32_distance:g} is allowed"
        return None
    against = "source" if "source" in found else "reference"
    if against not in found:
        return None
    median, worst = found[against]["median"], found[against]["worst"]
    limit = max(terms.distance, terms.times_median * median)
    if not worst <= limit:
        return f"its worst image is {worst:.2g} off its {against}, half of all at most {median:.2g}"
    agreement = row.source_argmax_agreement
    if agreement is None or wilson(agreement, found["source"]["images"]).high >= terms.source_agreement:
        return None
    return f"classifies only {agreement:.1%} of the images as its source does"


def most_repeats(measurements: int, terms: ValidityLimits) -> int:
    """How many rounds of a race of so many `measurements` may be repeated."""
    return math.ceil(terms.repeated_share * measurements)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
