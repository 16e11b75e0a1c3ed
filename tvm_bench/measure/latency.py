"""Step 8, the verb `measure`: one round of one variant, in a process that does nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from .. import backends
from ..data.preprocess import InputSpec
from .machine import peak_rss_mb, rss_mb


def measure(
    backend: str, artifact: str, spec: dict, batch: int, threads: int, warmup: int, samples: int
) -> dict[str, object]:
    """Load, call once, warm up, then time `samples` calls, NumPy in to NumPy out, in milliseconds.

    Beside them: memory (VmHWM, MB) after imports and at the end, live threads, CPU seconds per wall second over the
    timed calls, and, for a TVM library, as many runs of `time_evaluator`.
    """
    backends.runtime(backend)
    after_import = peak_rss_mb()
    images = np.random.default_rng(0).standard_normal((batch, *InputSpec.from_dict(spec).shape)).astype(np.float32)
    began = time.perf_counter()
    run = backends.load(backend, Path(artifact), threads=threads)
    loaded = time.perf_counter()
    run(images)
    called = time.perf_counter()
    for _ in range(warmup):
        run(images)
    latencies = np.empty(samples)
    cpu_began, wall_began = time.process_time(), time.perf_counter()
    for i in range(samples):
        start = time.perf_counter_ns()
        run(images)
        latencies[i] = time.perf_counter_ns() - start
    cpu_seconds, wall_seconds = time.process_time() - cpu_began, time.perf_counter() - wall_began
    peak = peak_rss_mb()
    evaluator = getattr(run, "time_evaluator", None)
    return {
        "latency_ms": (latencies / 1e6).tolist(),
        "time_evaluator_ms": evaluator(samples) if evaluator else None,
        "load_ms": (loaded - began) * 1e3,
        "first_call_ms": (called - loaded) * 1e3,
        "rss_after_import_mb": after_import,
        "rss_mb": rss_mb(),
        "peak_rss_mb": peak,
        "live_threads": len(os.listdir("/proc/self/task")),
        "cpu_per_wall": cpu_seconds / wall_seconds,
    }
