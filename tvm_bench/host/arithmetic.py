"""The speed of the CPU at this moment, in a fifth of a second."""

from __future__ import annotations

import time

import numpy as np

SIZE = 512  # three such matrices, 3 MB, fit most last caches
REPEATS = 40


def matmul_rate() -> float:
    """10^9 operations per second of NumPy's matrix product in FP32; the best of `REPEATS`."""
    left, right = np.ones((2, SIZE, SIZE), np.float32)
    product, best = np.empty_like(left), float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        np.matmul(left, right, out=product)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * SIZE**3 / best
