"""The inputs that a variant is timed on, each different from the one before, and the check of its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spec.tensors import Arrays, TensorSpec

INPUTS = 4
# Relative to the largest expected value. The answers of a variant hardly differ between processes.
TOLERANCE = 0.01
CHECKED = 10_000  # values of each output that are compared: all of them would add to the memory of the variant


def needed(specs: Sequence[TensorSpec]) -> int:
    """The number of samples that `windows` takes."""
    return max(spec.shape[0] if spec.batched else 1 for spec in specs) + INPUTS - 1


def windows(specs: Sequence[TensorSpec], samples: Sequence[np.ndarray]) -> list[Arrays]:
    """The inputs of `INPUTS` calls: overlapping windows, which saves memory, over an array (samples, …) for each input.

    Few samples are repeated.
    """
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
