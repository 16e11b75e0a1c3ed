"""The validity limits of a race: when a round counts as disturbed, and when a variant is flagged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .accuracy import wilson
from .results import Row


@dataclass(frozen=True)
class ValidityLimits:
    """The limits. Shares of CPU time are relative to the thread count times the duration of the samples."""

    others_share: float = 0.10  # by other processes
    steal_share: float = 0.02  # by the hypervisor
    unseen_seconds: float = 0.02  # /proc/stat counts in ticks of 10 ms: one at either end may be a rounding error
    repeats: int = 2  # of a disturbed round of one variant, at most
    repeated_share: float = 0.5  # of all rounds of a race, so that it ends on a machine that is always busy
    own_share: float = 1.05  # CPU seconds of the variant itself
    own_seconds: float = 0.01
    # Distances between scores: a constant answer has about 1 (see measure/metrics.py). FP32 sums in another order
    # are within 1e-4 of the reference; measured also for networks with random weights.
    fp32_distance: float = 1e-3
    rounding: float = 1e-5  # of FP32, relative to the length of the scores
    # INT8 ResNet-18 on 2000 images: median 0.013, worst 0.06. INT8 networks with random weights: median up to 0.32,
    # worst up to 0.53. Scores of another image: median 1.3. The best constant: median 0.9.
    median_distance: float = 0.6
    distance: float = 0.5
    times_median: float = 8.0
    # The smallest variation of the scores between images, relative to their length, that can show errors: a hundred
    # times the rounding of FP32; for other precisions a few times their error, 1 to 2 % of the length.
    fp32_spread: float = 1e-3
    spread: float = 0.05
    # Least SQNR of outputs that vary less than that: the errors are 0.1 % and 10 % of their length.
    fp32_decibels: float = 60.0
    decibels: float = 20.0
    # Share of images that a library classifies as its source does. If classes are close, as with random weights, a
    # distance of 0.1 changes the class of every tenth image.
    source_agreement: float = 0.97
    turned_per_distance: float = 2.0
    # An INT8 library whose layers were compared with those of its source: its median distance, relative to that of the
    # source from itself when it rounds in another order. Below the smallest one, nothing depends on the rounding.
    times_itself: float = 1.5
    least_itself: float = 0.02


def disturbance(watch: dict[str, Any], threads: int, limits: ValidityLimits) -> str | None:
    """What disturbed a round, from its `watch` (see host/interference.py); None if nothing did, or nothing is known."""
    unseen = limits.unseen_seconds / (watch["seconds"] * threads)
    for cause, share, limit in (
        ("other programs", watch["others_share"], limits.others_share),
        ("the hypervisor", watch["steal_share"], limits.steal_share),
    ):
        if share is not None and share > limit + unseen:
            return f"{cause} took {share:.0%} of the CPU time of {_threads(threads)}"
    return None


def overuse(result: dict[str, Any], threads: int, limits: ValidityLimits) -> str | None:
    """How a round used more than `threads` threads, as text; None if it did not. `result` is that of `measure`."""
    seconds = result["watch"]["seconds"]
    if result["cpu_per_wall"] * seconds > threads * limits.own_share * seconds + limits.own_seconds:
        return f"used {result['cpu_per_wall']:.2f} CPU seconds per second on a budget of {_threads(threads)}"
    if result["working_threads"] > threads:
        return f"computed with {result['working_threads']} threads on a budget of {_threads(threads)}"
    return None


def stale_answers(result: dict[str, Any]) -> str | None:
    """In how many timed calls a variant gave other answers than when they were checked, as text; None if in none."""
    wrong, calls = result["wrong_calls"], len(result["latency_ms"])
    return f"gave wrong answers in {wrong} of {calls} timed calls" if wrong else None


def judged(row: Row, limits: ValidityLimits, failures: Mapping[str, str]) -> Row:
    """The row, flagged if its answers are wrong, and without agreements that show nothing.

    `failures` has the reason if the answers of its `reference` or its `source` are missing.
    """
    return replace(
        row,
        argmax_agreement=None if _unvarying(row, "reference", limits) else row.argmax_agreement,
        source_argmax_agreement=None if _unvarying(row, "source", limits) else row.source_argmax_agreement,
        flagged=wrong_answers(row, limits, failures),
    )


def wrong_answers(row: Row, limits: ValidityLimits, failures: Mapping[str, str] | None = None) -> str | None:
    """Why the answers to the test images are not those of the model, as text; None if they are.

    An FP32 variant must agree with the reference on every image. Other precisions are compared with their source model,
    or without one with the reference: no image may differ far more than the others do. If the layers of a library were
    compared too, each must be right, and the answers no farther from the source than the source is from itself; else
    most images must get the class that the source gives them. Answers that cannot be compared count as wrong.
    """
    distances, failures = row.distances or {}, failures or {}
    compared = distances or row.output_errors or {}
    has_source = "source" in compared or "source" in failures
    against = "source" if has_source and row.precision != "fp32" else "reference"
    if against not in compared:
        return f"answers not checked: {failures.get(against, f'there is no {against}').rstrip('.')}"
    if not distances:
        return _wrong_outputs(row, against, limits) or (_wrong_layers(row.layers) if row.layers else None)
    if reason := _unvarying(row, against, limits):
        return reason
    if row.precision == "fp32":
        return _off_the_reference(distances["reference"], limits)
    if reason := _far_off(distances[against], against, limits):
        return reason
    if row.layers:
        return _wrong_layers(row.layers) or _farther_than_itself(distances, limits)
    agreement = row.source_argmax_agreement
    least = min(limits.source_agreement, 1 - limits.turned_per_distance * distances[against]["median"])
    if agreement is None or wilson(agreement, int(distances[against]["images"])).high >= least:
        return None
    return f"classifies only {agreement:.1%} of the images as its source does"


def _wrong_outputs(row: Row, against: str, limits: ValidityLimits) -> str | None:
    """Why one of several outputs, or one that is no scores, is wrong, as text; None if none is.

    An output that hardly varies between the samples must be near the right one; at least one output must vary.
    """
    outputs = (row.output_errors or {})[against]
    fp32 = row.precision == "fp32"
    varied = [output for output in outputs if output["spread"] >= (limits.fp32_spread if fp32 else limits.spread)]
    if not varied:
        widest = max(output["spread"] for output in outputs)
        return f"answers cannot be checked: no output of its {against} varies by more than {widest:.1g} of its length"
    for output in outputs:
        if output not in varied:
            reason = _off_the_constant(output, against, limits.fp32_decibels if fp32 else limits.decibels)
        elif fp32:
            reason = _off_the_reference(output, limits)
        else:
            reason = _far_off(output, against, limits)
        if reason:
            return f"output {output['name']}: {reason}"
    return None


def _off_the_constant(output: dict[str, Any], against: str, least: float) -> str | None:
    if not output["sqnr_db"] >= least:  # NaN is wrong too
        return f"it hardly varies, and has {output['sqnr_db']:.0f} dB of SQNR to its {against} (at least {least:g})"
    return None


def _unvarying(row: Row, against: str, limits: ValidityLimits) -> str | None:
    """Why a comparison with these scores shows nothing, as text; None if it does, or if there is none."""
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
        return f"the worst image has a distance of {distance['worst']:.2g} to the FP32 reference (limit {limit:.1g})"
    return None


def _far_off(distance: dict[str, float], against: str, limits: ValidityLimits) -> str | None:
    median, worst = distance["median"], distance["worst"]
    if not median <= limits.median_distance:
        limit = limits.median_distance
        return f"the median distance to its {against} is {median:.2g} (limit {limit:g}; a constant answer has about 1)"
    limit = max(limits.distance, limits.times_median * median)
    if not worst <= limit:
        return (
            f"the worst image has a distance of {worst:.2g} to its {against} (median {median:.2g}, limit {limit:.2g})"
        )
    return None


def _wrong_layers(layers: Mapping[str, Any]) -> str | None:
    if not layers["wrong"]:
        return None
    return (
        f"{layers['wrong']} of {layers['count']} layers differ by more than a rounding from those of its source, first "
        f"{layers['first']} (see `tvm-bench diff`)"
    )


def _farther_than_itself(distances: Mapping[str, dict[str, float]], limits: ValidityLimits) -> str | None:
    if "itself" not in distances:
        return None
    median, itself = distances["source"]["median"], distances["itself"]["median"]
    limit = limits.times_itself * max(itself, limits.least_itself)
    if median <= limit:
        return None
    return (
        f"the median distance to its source is {median:.2g}, and that of the source to itself is {itself:.2g} when it "
        f"rounds in another order (limit {limit:.2g})"
    )


def most_repeats(measurements: int, limits: ValidityLimits) -> int:
    """How many rounds may be repeated in a race with this number of `measurements`."""
    return math.ceil(limits.repeated_share * measurements)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
