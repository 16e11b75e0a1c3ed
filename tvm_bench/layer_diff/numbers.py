"""The errors of a tensor against that of the source model."""

from __future__ import annotations

import numpy as np

from ..spec.layer_errors import RANGE_LIMIT, Errors


def errors(values: np.ndarray, source: np.ndarray, *, zero: np.ndarray | float | None = None) -> Errors:
    """Compare `values` with those of the `source`. `zero`: the zero point, if they are quantized; else None.

    Values of another shape, or that are not finite where the source is, are infinitely wrong.
    """
    unit = "range" if zero is None else "steps"
    if values.shape != source.shape:
        return Errors(unit, -np.inf, np.inf, 1.0)
    if np.array_equal(values, source):  # as most integers are: the rest takes far longer
        return Errors(unit, np.inf, 0.0, 0.0)
    values, source = values.astype(np.float64), source.astype(np.float64)
    same = (values == source) | (np.isnan(values) & np.isnan(source))
    off = np.where(same, 0.0, np.abs(values - source))
    off[~np.isfinite(off)] = np.inf
    span = 1.0 if zero is not None else _range(source)
    noise, signal = np.square(off).sum(), np.square(source - (0.0 if zero is None else zero))
    sqnr = np.inf if not noise else 10 * np.log10(max(signal[np.isfinite(signal)].sum(), 1e-300) / noise)
    limit = 0.0 if zero is not None else RANGE_LIMIT * span
    return Errors(unit, float(sqnr), float(off.max(initial=0) / span), float(np.mean(off > limit)) if off.size else 0.0)


def worst(rows: list[Errors]) -> Errors:
    """The errors of several images together: the worst of each number, and the mean share."""
    return Errors(
        rows[0].unit,
        min(row.sqnr for row in rows),
        max(row.largest for row in rows),
        float(np.mean([row.share for row in rows])),
    )


def _range(source: np.ndarray) -> float:
    """That of the values; of nearly equal ones a part of their size, since FP32 has no digits for less."""
    finite = source[np.isfinite(source)]
    if not finite.size:
        return 1.0
    return max(float(np.ptp(finite)), 0.01 * float(np.abs(finite).max())) or 1.0
