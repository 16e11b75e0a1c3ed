"""Seeded arrays for the inputs of a model, without any data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spec.tensors import TensorSpec

HIGH = 2  # integers without a known limit are drawn below it: right for masks, flags and positions


def arrays(specs: Sequence[TensorSpec], count: int, seed: int = 0) -> list[np.ndarray]:
    """An array (count, …) for each input; the other sizes are those of one sample.

    Samples of pure noise look alike to a network that averages over them, so these differ in brightness and contrast.
    Integers are drawn below `high`; without it, bytes from their whole range and others below `HIGH`.
    """
    random = np.random.default_rng(seed)
    return [_drawn(spec, (count, *spec.sample_shape), random) for spec in specs]


def _drawn(spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    kind = np.dtype(spec.dtype)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    if kind.kind in "iu":
        bounds = np.iinfo(kind)
        low, high = (bounds.min, bounds.max + 1) if kind.itemsize == 1 else (0, HIGH)
        return random.integers(0 if spec.high else low, spec.high or high, shape).astype(kind)
    rest = len(shape) - 1
    values = random.standard_normal(shape, dtype=np.float32)
    values *= random.uniform(0.2, 2, (shape[0], *[1] * rest)).astype(np.float32)
    channels = shape[1:2] if rest == 3 else (1,) * min(rest, 1)
    values += random.uniform(-1.5, 1.5, (shape[0], *channels, *[1] * (rest - len(channels)))).astype(np.float32)
    return values.astype(kind, copy=False)
