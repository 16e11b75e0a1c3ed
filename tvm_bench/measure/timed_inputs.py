"""The inputs that a variant is timed on, each different from the one before, and the check of its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spec.tensors import Arrays, TensorSpec

INPUTS = 4
# Relative to the largest expected value. The answers of a variant hardly differ between processes.
TOLERANCE = 0.01
CHECKED = 10_000  # values of each output that are compared: all of them would add to the memory of the variant
HIGH = 2  # integers without a known limit are drawn below it: right for masks, flags and positions


def inputs(specs: Sequence[TensorSpec]) -> list[Arrays]:
    """Seeded inputs for `INPUTS` calls: overlapping windows over few samples, which saves memory.

    Samples of pure noise look alike to a network that averages over them, so these differ in brightness and contrast.
    Integers are drawn below `high`; without it, bytes from their whole range and others below `HIGH`.
    """
    random = np.random.default_rng(0)
    samples = [_samples(spec, random) for spec in specs]
    return windows(specs, samples)


def windows(specs: Sequence[TensorSpec], samples: Sequence[np.ndarray]) -> list[Arrays]:
    """The inputs of `INPUTS` calls, from an array (samples, …) for each input; few samples are repeated."""
    return [
        tuple(_window(spec, array, start) for spec, array in zip(specs, samples, strict=True))
        for start in range(INPUTS)
    ]


def _window(spec: TensorSpec, samples: np.ndarray, start: int) -> np.ndarray:
    if not spec.batched:
        return samples[start % len(samples)]
    batch = spec.shape[0]
    if start + batch <= len(samples):
        return samples[start : start + batch]
    return samples[np.arange(start, start + batch) % len(samples)]


def _samples(spec: TensorSpec, random: np.random.Generator) -> np.ndarray:
    count = (spec.shape[0] if spec.batched else 1) + INPUTS - 1
    shape = (count, *spec.sample_shape)
    kind = np.dtype(spec.dtype)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    if kind.kind in "iu":
        bounds = np.iinfo(kind)
        low, high = (bounds.min, bounds.max + 1) if kind.itemsize == 1 else (0, HIGH)
        return random.integers(0 if spec.high else low, spec.high or high, shape).astype(kind)
    rest = len(shape) - 1
    values = random.standard_normal(shape, dtype=np.float32)
    values *= random.uniform(0.2, 2, (count, *[1] * rest)).astype(np.float32)
    channels = shape[1:2] if rest == 3 else (1,) * min(rest, 1)
    values += random.uniform(-1.5, 1.5, (count, *channels, *[1] * (rest - len(channels)))).astype(np.float32)
    return values.astype(kind, copy=False)


def checked(outputs: Arrays) -> list[np.ndarray]:
    """At most `CHECKED` values of each output, evenly spaced, as float32."""
    return [output.reshape(-1)[:: max(1, -(-output.size // CHECKED))].astype(np.float32) for output in outputs]


def wrong_calls(answers: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> int:
    """The number of calls with a wrong output, where call i got input i modulo `INPUTS`.

    `answers` has an array (calls, values) for each output, and `expected` one (INPUTS, values). An output is wrong if
    it is off by more than `TOLERANCE`, or nearer to the expected one of another input.
    """
    return int(np.any([_wrong(*pair) for pair in zip(answers, expected, strict=True)], axis=0).sum())


def _wrong(answers: np.ndarray, expected: np.ndarray) -> np.ndarray:
    errors = np.abs(answers[:, None] - expected[None]).max(axis=2)  # of each call from each expected answer
    own = errors[np.arange(len(answers)), np.arange(len(answers)) % INPUTS]
    limit = TOLERANCE * np.abs(expected).max()
    return ~(own <= limit) | (own > errors.min(axis=1))  # not `>`: NaN is wrong too
