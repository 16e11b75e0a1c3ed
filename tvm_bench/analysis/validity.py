"""The limits of a race: what disturbs a round, and what a variant must not do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    # Distances between scores: 1 is as far as a constant answer is (see measure/metrics.py). FP32 sums in another order
    # are within 1e-4 of the reference; measured also for networks with random weights.
    fp32_distance: float = 1e-3
    rounding: float = 1e-5  # of FP32, relative to the length of the scores
    # INT8 ResNet-18 on 2000 images: median 0.013, worst 0.06. INT8 networks with random weights: median up to 0.32,
    # worst up to 0.53. Scores of another image: median 1.3. The best constant: median 0.9.
    median_distance: float = 0.6
    distance: float = 0.5
    times_median: float = 8.0
    # The least variation of the scores between images, relative to their length, that tells right from wrong: a hundred
    # times the rounding of FP32; for other precisions a few times their error, 1 to 2 % of the length.
    fp32_spread: float = 1e-3
    spread: float = 0.05
    # Share of images that a library classifies as its source does. Where classes are close, as with random weights, a
    # distance of 0.1 turns every tenth image.
    source_agreement: float = 0.97
    turned_per_distance: float = 2.0


def disturbance(watch: dict[str, Any], threads: int, limits: ValidityLimits) -> str | None:
    """What disturbed a round, by its `watch` (see measure/watch.py); None where nothing did, or nothing is known."""
    unseen = limits.unseen_seconds / (watch["seconds"] * threads)
    for what, share, limit in (
        ("other programs", watch["others_share"], limits.others_share),
        ("the hypervisor", watch["steal_share"], limits.steal_share),
    ):
        if share is not None and share > limit + unseen:
            return f"{what} took {share:.0%} of the CPU time of {_threads(threads)}"
    return None


def greed(found: dict[str, Any], threads: int, limits: ValidityLimits) -> str | None:
    """Whether a round (what `measure` returns) used more than `threads`, in words; None where it did not."""
    seconds = found["watch"]["seconds"]
    if found["cpu_per_wall"] * seconds > threads * limits.own_share * seconds + limits.own_seconds:
        return f"used {found['cpu_per_wall']:.2f} CPU seconds a second on a budget of {_threads(threads)}"
    if found["working_threads"] > threads:
        return f"computed with {found['working_threads']} threads on a budget of {_threads(threads)}"
    return None


def staleness(found: dict[str, Any]) -> str | None:
    """Whether a variant answered while it was timed as it did when its answers were checked; None where it did."""
    wrong, calls = found["wrong_calls"], len(found["latency_ms"])
    return f"gave wrong answers in {wrong} of {calls} timed calls" if wrong else None


def judged(row: Row, limits: ValidityLimits, failures: Mapping[str, str]) -> Row:
    """The row with what is wrong with its answers, and without an agreement that says nothing.

    `failures` has the reason where the answers of its `reference` or its `source` are missing.
    """
    return replace(
        row,
        argmax_agreement=None if _unvarying(row, "reference", limits) else row.argmax_agreement,
        source_argmax_agreement=None if _unvarying(row, "source", limits) else row.source_argmax_agreement,
        flagged=wrongness(row, limits, failures),
    )


def wrongness(row: Row, limits: ValidityLimits, failures: Mapping[str, str] | None = None) -> str | None:
    """Why the answers to the test images cannot count as those of the model, in words; None where they can.

    An FP32 variant must answer as the reference on every image. Another precision is compared with the file that it was
    built from, or with the reference: no image may lie far outside of how all others differ. Answers that cannot be
    compared are as little worth as wrong ones.
    """
    distances, failures = row.distances or {}, failures or {}
    has_source = "source" in distances or "source" in failures
    against = "source" if has_source and row.precision != "fp32" else "reference"
    if against not in distances:
        return f"answers not checked: {failures.get(against, f'there is no {against}').rstrip('.')}"
    if reason := _unvarying(row, against, limits):
        return reason
    if row.precision == "fp32":
        return _off_the_reference(distances["reference"], limits)
    if reason := _far_off(distances[against], against, limits):
        return reason
    agreement = row.source_argmax_agreement
    least = min(limits.source_agreement, 1 - limits.turned_per_distance * distances[against]["median"])
    if agreement is None or wilson(agreement, int(distances[against]["images"])).high >= least:
        return None
    return f"classifies only {agreement:.1%} of the images as its source does"


def _unvarying(row: Row, against: str, limits: ValidityLimits) -> str | None:
    """Why a comparison with these scores shows nothing, in words; None where it does, or where there is none."""
    distances = row.distances or {}
    if against not in distances:
        return None
    spread = distances[against]["spread"]
    least = limits.fp32_spread if row.precision == "fp32" else limits.spread
    if spread >= least:
        return None
    return (
        f"answers cannot be checked: the scores of its {against} vary by only {spread:.1g} of their length between "
        f"images, and {row.precision} needs {least:g}"
    )


def _off_the_reference(distance: dict[str, float], limits: ValidityLimits) -> str | None:
    limit = max(limits.fp32_distance, limits.rounding / distance["spread"])
    if not distance["worst"] <= limit:  # NaN is wrong too
        return f"its worst image is {distance['worst']:.2g} off the FP32 reference; {limit:.1g} is allowed"
    return None


def _far_off(distance: dict[str, float], against: str, limits: ValidityLimits) -> str | None:
    median, worst = distance["median"], distance["worst"]
    if not median <= limits.median_distance:
        return f"half of its images are {median:.2g} or more off its {against}; a constant answer is about 1 off"
    if not worst <= max(limits.distance, limits.times_median * median):
        return f"its worst image is {worst:.2g} off its {against}, half of all at most {median:.2g}"
    return None


def most_repeats(measurements: int, limits: ValidityLimits) -> int:
    """How many rounds of a race of so many `measurements` may be repeated."""
    return math.ceil(limits.repeated_share * measurements)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
