"""The inputs that a variant is timed on, each different from the one before, and the check of its answers."""

from __future__ import annotations

import numpy as np

INPUTS = 4
# Relative to the largest expected score. The answers of a variant hardly differ between processes.
TOLERANCE = 0.01


def inputs(shape: tuple[int, ...], batch: int) -> list[np.ndarray]:
    """Seeded inputs, float32 (batch, *shape): overlapping windows over few images, which saves memory.

    Images of pure noise look alike to a network that averages over them, so these differ in brightness and contrast.
    """
    random = np.random.default_rng(0)
    count = batch + INPUTS - 1
    images = random.standard_normal((count, *shape), dtype=np.float32)
    images *= random.uniform(0.2, 2, (count, 1, 1, 1)).astype(np.float32)
    images += random.uniform(-1.5, 1.5, (count, shape[0], 1, 1)).astype(np.float32)
    return [images[start : start + batch] for start in range(INPUTS)]


def wrong_calls(answers: np.ndarray, expected: np.ndarray) -> int:
    """The number of wrong answers in `answers` (calls, batch, classes), where call i got input i modulo `INPUTS`.

    `expected` is (INPUTS, batch, classes). An answer is wrong if it is off by more than `TOLERANCE`, or nearer to the
    expected answer of another input.
    """
    errors = np.abs(answers[:, None] - expected[None]).max(axis=(2, 3))  # of each call from each expected answer
    own = errors[np.arange(len(answers)), np.arange(len(answers)) % INPUTS]
    limit = TOLERANCE * np.abs(expected).max()
    return int((~(own <= limit) | (own > errors.min(axis=1))).sum())  # not `>`: NaN is wrong too
