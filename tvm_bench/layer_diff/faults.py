"""Names the kind of a fault by the pattern of its errors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

HALF = 0.5 + 1e-2  # of a step: what a rounding to the nearest may be off, computed in float32
FEW = 0.02  # of the border: another padding value changes far more
TWICE = 1.6  # steps: what two roundings, one of them of inputs, may be off


@dataclass(frozen=True)
class Sample:
    """The outputs of a faulty layer in float64.

    `values` are those of the layer, `source` those it should have. For a quantized output, both are in steps, `real`
    is the exact output in steps before it is rounded (None: unknown), `zero` the zero point, `limits` those of the
    type. `limits` is None for a float output, which is in parts of its range.
    """

    values: np.ndarray
    source: np.ndarray
    real: np.ndarray | None = None
    zero: np.ndarray | float = 0.0
    limits: tuple[float, float] | None = None

    @property
    def tolerance(self) -> float:
        """The largest error of a right value against `exact`."""
        if self.limits is None:
            return 1e-4
        return HALF if self.real is not None else 1.0

    @property
    def exact(self) -> np.ndarray:
        """What the values are compared with."""
        if self.real is None:
            return self.source
        assert self.limits, "only quantized outputs are rounded"
        return np.clip(self.real, *self.limits)

    @property
    def off(self) -> np.ndarray:
        """The errors."""
        return self.values - self.exact

    @property
    def wrong(self) -> np.ndarray:
        """Which values are wrong."""
        return ~(np.abs(self.off) <= self.tolerance)


@dataclass(frozen=True)
class Kind:
    """The kind of a fault, and what shows it, as a sentence."""

    name: str
    evidence: str


def kind_of(sample: Sample) -> Kind:
    """The kind of fault with which the `values` became wrong: the first pattern that explains all errors."""
    if sample.values.shape != sample.source.shape:
        return Kind("layout", f"the shape is {sample.values.shape}, and that of the source {sample.source.shape}")
    if not np.isfinite(sample.values[np.isfinite(sample.source)]).all():
        return Kind("other", "values are not finite where those of the source are")
    patterns = (_layout, _padding, _wrapped, _saturation, _zero_point, _rounding, _saturated_sums, _scale)
    kinds = (pattern(sample) for pattern in patterns)
    return next((kind for kind in kinds if kind), Kind("other", f"{sample.wrong.mean():.1%} of the values are wrong"))


def _rounding(sample: Sample) -> Kind | None:
    off = sample.off
    if sample.limits is None or np.abs(off).max() > (TWICE if sample.real is not None else 1.0):
        return None
    low, high = off.min(), off.max()
    share = np.mean(sample.values != sample.source)
    if sample.real is not None:
        inside = _inside(sample)
        if np.abs(off).max() <= HALF:
            return Kind("rounding", f"{share:.1%} of the values are ties that are rounded to the other side")
        if high <= 0.02:
            return Kind("rounding", f"values are cut off, not rounded: errors are {low:.2f} to {high:.2f} steps")
        if low >= -0.02:
            return Kind("rounding", f"values are rounded up: errors are {low:.2f} to {high:.2f} steps")
        spread = float(np.std(off[inside])) if inside.any() else 0.0
        return Kind(
            "rounding",
            f"values are rounded more than once: errors are {low:.2f} to {high:.2f} steps, and their standard "
            f"deviation is {spread:.2f} instead of 0.29",
        )
    side = {(-1, 0): "down", (0, 1): "up"}.get((int(low), int(high)), "to either side")
    return Kind("rounding", f"{share:.1%} of the values are one step off, {side}")


def _zero_point(sample: Sample) -> Kind | None:
    """A constant offset of all values, of each channel, or an offset that all channels share."""
    if sample.limits is None:
        return None
    inside, off = _inside(sample), sample.off
    if not inside.any():
        return None
    constant = float(np.median(off[inside]))
    if abs(constant) >= 0.75 and _explains(off - constant, inside, sample):
        return Kind("zero point", f"all values are off by {round(constant):+d} steps")
    if off.ndim < 2 or off.shape[1] == 1:
        return None
    channels = np.moveaxis(_core(np.where(inside, off, np.nan)), 1, 0).reshape(off.shape[1], -1)
    known = channels[~np.isnan(channels).all(axis=1)]
    if known.shape[1] >= 8:
        centres = np.nanmedian(known, axis=1, keepdims=True)
        right = np.abs(known - centres) <= 2 * sample.tolerance
        if np.abs(centres).max() >= 0.75 and _most(right[~np.isnan(known)]):
            low, high = centres.min(), centres.max()
            return Kind("zero point", f"each channel is off by a constant, from {low:+.1f} to {high:+.1f} steps")
    return _shared_offset(known)


def _shared_offset(channels: np.ndarray) -> Kind | None:
    """Weights with a wrong zero point add the sum of the window's inputs, times a factor for each channel."""
    errors = channels[:, ~np.isnan(channels).any(axis=0)]
    if min(errors.shape) < 4:
        return None
    energy = np.square(np.linalg.svd(errors, compute_uv=False))
    noise = errors.size / 12  # of a rounding
    if energy[0] < 4 * noise or energy[1:].sum() > 2 * noise:
        return None
    return Kind("zero point", "the errors of all channels are the same picture, as with a wrong zero point of weights")


def _padding(sample: Sample) -> Kind | None:
    """Errors at the border only."""
    if sample.values.ndim != 4 or min(sample.values.shape[2:]) < 3:
        return None
    rows, columns = np.nonzero(sample.wrong.any(axis=(0, 1)))
    height, width = sample.values.shape[2:]
    if not rows.size:
        return None
    depth = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns)).max() + 1
    inside = sample.wrong[:, :, depth : height - depth, depth : width - depth]
    if not inside.size:
        return None
    border = sample.wrong.sum() / (sample.wrong.size - inside.size)
    if border < FEW:
        return None
    return Kind(
        "padding",
        f"all wrong values are in the outer {depth} of {min(height, width)} rows or columns ({border:.0%} of these "
        "values), as with padding of another value than zero",
    )


def _wrapped(sample: Sample) -> Kind | None:
    if sample.limits is None:
        return None
    turns = (sample.values - sample.source)[sample.wrong] / 256
    if turns.size and (np.abs(turns - np.round(turns)) <= 1 / 256).all() and np.round(turns).any():
        return Kind("saturation", f"values beyond the limits {sample.limits} wrap around by 256 and do not saturate")
    return None


def _saturation(sample: Sample) -> Kind | None:
    """Errors only where the values, or those of the source, are at a limit."""
    wrong, margin = sample.wrong, 0 if sample.limits else sample.tolerance
    if not wrong.any():
        return None
    for name, limited, other in (
        ("values", sample.values, sample.source),
        ("values of the source", sample.source, sample.values),
    ):
        high, low = (np.abs(limited - limit) <= margin for limit in (limited.max(), limited.min()))
        for at, smaller, share in (
            (high, limited.max() < other.max(), 0.98),
            (low, limited.min() > other.min(), 0.98),
            # Limits that are far too close to each other: what lies between them can be wrong as well.
            (high | low, np.ptp(limited) < np.ptp(other) / 2, 0.9),
        ):
            if smaller and at.sum() >= 2 and at[wrong].mean() >= share and wrong[at].mean() > 0.05:
                ours, theirs = (f"{array.min():g} to {array.max():g}" for array in (limited, other))
                return Kind("saturation", f"wrong are {name} at the limits of {ours}; the others are {theirs}")
    return None


def _saturated_sums(sample: Sample) -> Kind | None:
    """Only large sums are wrong, and too small: they were cut to fewer bits before they were rounded."""
    size = np.abs(sample.exact - sample.zero)
    wrong = sample.wrong
    smaller = np.abs(sample.values - sample.zero) < size
    large, small = size >= np.quantile(size, 0.9), size <= np.quantile(size, 0.5)
    if wrong.any() and smaller[wrong].mean() > 0.95 and wrong[small].mean() < 0.1 * wrong[large].mean():
        return Kind(
            "saturation", f"{wrong[large].mean():.0%} of the largest tenth of the values are wrong, all too small"
        )
    return None


def _layout(sample: Sample) -> Kind | None:
    """The right values in the wrong places."""
    values, source, wrong = sample.values, sample.source, sample.values != sample.source
    tolerance = 1.0 if sample.limits else sample.tolerance
    if np.abs(values - source).max() <= 2 * tolerance or wrong.mean() < 0.01:
        return None
    if np.abs(np.sort(values, axis=None) - np.sort(source, axis=None)).max() > tolerance:
        return None
    for axes in permutations(range(values.ndim)):
        turned = source.transpose(axes)
        if turned.size == values.size and _most(np.abs(turned.reshape(values.shape) - values) <= tolerance):
            return Kind("layout", f"the values are those of the source with its axes in the order {axes}")
    if values.ndim > 1 and (count := _moved_channels(values, source, tolerance)):
        return Kind("layout", f"{count} of {values.shape[1]} channels are those of another channel of the source")
    return Kind("layout", "the values are those of the source in another order")


def _moved_channels(values: np.ndarray, source: np.ndarray, tolerance: float) -> int:
    """How many channels are at another place; 0 if one is nowhere."""
    moved = 0
    ours, theirs = (np.moveaxis(array, 1, 0).reshape(array.shape[1], -1) for array in (values, source))
    for number, channel in enumerate(ours):
        places = np.nonzero((np.abs(theirs - channel) <= tolerance).all(axis=1))[0]
        if not places.size:
            return 0
        moved += number not in places
    return moved


def _scale(sample: Sample) -> Kind | None:
    """All values times a factor, or plus an offset."""
    inside = _inside(sample) if sample.limits else np.ones_like(sample.values, bool)
    exact, values = (sample.exact - sample.zero)[inside], (sample.values - sample.zero)[inside]
    if exact.size < 8 or not np.ptp(exact):
        return None
    factor, offset = np.polyfit(exact, values, 1)
    fits = np.abs(values - factor * exact - offset) <= max(2 * sample.tolerance, 0.0)
    if not _most(fits):
        return None
    return Kind("other", f"a wrong scale: the values are {factor:.4g} times those of the source, plus {offset:.3g}")


def _inside(sample: Sample) -> np.ndarray:
    """The values that no limit holds: only these show an offset."""
    assert sample.limits
    low, high = sample.limits
    low, high = max(low, sample.source.min()), min(high, sample.source.max())
    values, exact = sample.values, sample.exact
    return (exact > low) & (exact < high) & (values > values.min()) & (values < values.max())


def _core(pictures: np.ndarray) -> np.ndarray:
    """Without the border, where windows have fewer values, so that an offset is smaller."""
    if pictures.ndim != 4:
        return pictures
    height, width = (min(3, (size - 1) // 3) for size in pictures.shape[2:])
    return pictures[:, :, height : pictures.shape[2] - height, width : pictures.shape[3] - width]


def _explains(rest: np.ndarray, inside: np.ndarray, sample: Sample) -> bool:
    return _most(np.abs(rest[inside]) <= sample.tolerance + 0.02)


def _most(right: np.ndarray) -> bool:
    return bool(right.size) and float(right.mean()) >= 0.98
