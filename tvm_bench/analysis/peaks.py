"""What the CPU gave during a race, and how much of it a variant used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .results import Results, Row
from .statistics import mean_latency

AMX = {"int8": "amx-int8", "bf16": "amx-bf16"}  # LLVM's names of the features, by precision
SLOWED = 0.10  # below the middle of all rounds


def speed(row: Row, results: Results) -> float | None:
    """10^9 operations per second of a timed row, as if all convolutions were direct.

    None if no library of the same model and batch size says how many operations it has.
    """
    same = [other for other in results.variants if (other.batch, _model(other)) == (row.batch, _model(row))]
    operations = next((other.operations for other in same if other.operations), None)
    return operations / (1e6 * mean_latency(row.rounds).value) if operations and row.rounds else None


def peak(row: Row, results: Results) -> float | None:
    """The most 10^9 operations per second in the row's precision, on its threads; None if it was not measured.

    Other runtimes than Relay may use AMX, whose peak is not measured.
    """
    peaks = results.peaks
    if row.backend != "relay" and AMX.get(row.precision) in results.machine.get("features", ()):
        return None
    return peaks[row.precision] * row.threads / peaks["threads"] if row.precision in peaks else None


def slowed_rounds(results: Results) -> Iterator[tuple[int, float]]:
    """The rounds, counted from 1, before which the CPU was slow, with its speed as a share of the middle of all."""
    usual = float(np.median(results.matmul_rates)) if results.matmul_rates else 0.0
    for number, rate in enumerate(results.matmul_rates, 1):
        if rate < (1 - SLOWED) * usual:
            yield number, rate / usual


def _model(row: Row) -> str:
    return row.name.rpartition("/")[0]
