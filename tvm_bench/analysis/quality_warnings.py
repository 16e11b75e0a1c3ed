"""Quality warnings: what makes the numbers of a race less reliable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from . import peaks
from .results import Results, Row
from .statistics import round_medians

MAX_SPREAD = 0.10
FAR_OFF = 0.25  # relative distance of an outlier round's median from the median of the others
MAX_BUSY = 0.10  # share of the CPUs used by other programs or, on a virtual machine, by its neighbours
MIN_ROUNDS = 5  # with fewer, intervals are too wide to decide anything
MIN_SAMPLES = 200


def quality_warnings(results: Results) -> list[str]:
    """The warnings, one sentence each; empty if there are none."""
    rows = [row for row in results.variants if row.rounds]
    warnings = [
        _partial(results),
        _synthetic(results.settings),
        _layers_missing(results.variants),
        _busy(results.machine),
        _repeated(rows),
        _still_disturbed(rows),
        _spread(rows),
        _far_off(rows),
        _slowed(results),
        _slow_bf16(results),
        _few_rounds(rows),
        _few_samples(rows),
    ]
    return [warning for warning in warnings if warning]


def far_off_rounds(row: Row) -> Iterator[tuple[int, float]]:
    """The outlier rounds, counted from 1, with the ratio of their median to the median of the other rounds' medians."""
    medians = round_medians(row.rounds)
    if len(medians) < 3:  # of two, either may be the outlier
        return
    for i, value in enumerate(medians):
        ratio = float(value / np.median(np.delete(medians, i)))
        if abs(np.log(ratio)) > np.log1p(FAR_OFF):
            yield i + 1, ratio


def _partial(results: Results) -> str | None:
    if not results.partial:
        return None
    rounds = f"{results.finished_rounds} of {results.settings['rounds']} rounds"
    return f"The race is partial: only {rounds} are finished. The same command resumes with the next round."


def _synthetic(settings: dict[str, Any]) -> str | None:
    inputs = settings.get("inputs") or {}
    if not str(inputs.get("checked", "")).startswith("synthetic"):
        return None
    return (
        "The inputs are synthetic: answers were compared and calls timed on seeded noise, not on data of the task. "
        "Give --data or --inputs."
    )


def _layers_missing(rows: Iterable[Row]) -> str | None:
    missing = [f"{row.name} ({row.layers_missing.rstrip('.')})" for row in rows if row.ok and row.layers_missing]
    if not missing:
        return None
    return f"Only the answers of the whole library were checked, not its layers: {'; '.join(missing)}."


def _busy(machine: dict[str, Any]) -> str | None:
    busy = machine.get("busy_share")
    if busy is None or busy <= MAX_BUSY:
        return None
    return f"At the start, other programs used {busy:.0%} of the CPUs. Stop them, and repeat the race."


def _repeated(rows: list[Row]) -> str | None:
    repeated = [f"{row.name} ({row.disturbed})" for row in rows if row.disturbed]
    return f"Rounds that were disturbed and repeated: {', '.join(repeated)}." if repeated else None


def _still_disturbed(rows: list[Row]) -> str | None:
    """The warning about rounds whose last repeat was disturbed too: that repeat counts."""
    reasons = {row.name: [watch["disturbance"] for watch in row.watch if watch.get("disturbance")] for row in rows}
    names = [f"{name} ({len(texts)}: {texts[0]})" for name, texts in reasons.items() if texts]
    return f"Disturbed rounds that count, since no repeat was left: {', '.join(names)}." if names else None


def _spread(rows: list[Row]) -> str | None:
    medians = {row.name: round_medians(row.rounds) for row in rows}
    spreads = {name: values.max() / values.min() - 1 for name, values in medians.items()}
    wide = [f"{name} ({spread:.0%})" for name, spread in spreads.items() if spread > MAX_SPREAD]
    return f"The medians of the rounds are more than {MAX_SPREAD:.0%} apart: {', '.join(wide)}." if wide else None


def _far_off(rows: list[Row]) -> str | None:
    rounds = [
        f"round {number} of {row.name} ({ratio:.2f}× the median of its other rounds)"
        for row in rows
        for number, ratio in far_off_rounds(row)
    ]
    return f"Outlier rounds, which count in latencies and ratios: {'; '.join(rounds)}." if rounds else None


def _slowed(results: Results) -> str | None:
    slowed = [f"round {number} ({share:.0%} of its usual speed)" for number, share in peaks.slowed_rounds(results)]
    return f"The CPU was slow before {', '.join(slowed)}." if slowed else None


def _slow_bf16(results: Results) -> str | None:
    found = results.peaks
    raced = any(row.rounds and (row.precision, row.backend) == ("bf16", "relay") for row in results.variants)
    if not raced or found.get("bf16", 0.0) >= found.get("fp32", 0.0):
        return None
    return (
        f"Relay's instruction for BF16 is slower on this CPU than those for FP32 ({found['bf16']:.0f} and "
        f"{found['fp32']:.0f} billion operations per second): expect no gain."
    )


def _few_rounds(rows: list[Row]) -> str | None:
    few = min((len(row.rounds) for row in rows), default=MIN_ROUNDS)
    if few >= MIN_ROUNDS:
        return None
    return f"Only {few} round{'s' * (few != 1)}: with fewer than {MIN_ROUNDS}, intervals are too wide to decide much."


def _few_samples(rows: list[Row]) -> str | None:
    few = [f"{row.name} ({count})" for row in rows if (count := sum(map(len, row.rounds))) < MIN_SAMPLES]
    return f"Fewer than {MIN_SAMPLES} samples, too few for a tail such as p95: {', '.join(few)}." if few else None
