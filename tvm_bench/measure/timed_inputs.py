"""The inputs that a variant is timed on, each unlike the one before, and whether it answered to them."""

from __future__ import annotations

import numpy as np

INPUTS = 4
# Of the largest expected score. What a variant answers hardly differs from one process to the next.
TOLERANCE = 0.01


def inputs(shape: tuple[int, ...], batch: int) -> list[np.ndarray]:
    """Seeded inputs, float32 (batch, *shape): windows over a few more pictures than one batch, which saves memory.

    Pictures of noise alone look alike to a network that averages over them: these differ in brightness and contrast.
    """
    random = np.random.default_rng(0)
    count = batch + INPUTS - 1
    pictures = random.standard_normal((count, *shape), dtype=np.float32)
    pictures *= random.uniform(0.2, 2, (count, 1, 1, 1)).astype(np.float32)
    pictures += random.uniform(-1.5, 1.5, (count, shape[0], 1, 1)).astype(np.float32)
    return [pictures[start : start + batch] for start in range(INPUTS)]


def wrong_calls(answers: np.ndarray, expected: np.ndarray) -> int:
    """How many of `answers` (calls, batch, classes), call i to input i modulo `INPUTS`, are not what is `expected`.

    `expected` is (INPUTS, batch, classes). Wrong is an answer that is off by more than `TOLERANCE`, or nearer to what
    another input should have given.
    """
    errors = np.abs(answers[:, None] - expected[None]).max(axis=(2, 3))  # of each call to each expected answer
    own = errors[np.arange(len(answers)), np.arange(len(answers)) % INPUTS]
    limit = TOLERANCE * np.abs(expected).max()
    return int((~(own <= limit) | (own > errors.min(axis=1))).sum())  # not `>`: NaN is wrong too
