"""Step 8, the verb `measure`: one round of one variant, in a process that does nothing else."""

from __future__ import annotations

import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from ... import backends
from ...data import synthetic
from ...host import interference
from ...host.machine import huge_pages_mb, load_average, peak_rss_mb, pss_mb, rss_mb
from ...measure import timed_inputs
from ...spec.tensors import Arrays, TensorSpec, from_json


def run(
    backend: str,
    artifact: str,
    feed: dict,
    threads: int,
    warmup: int,
    samples: int,
    expected: str | None,
) -> dict[str, object]:
    """Load the variant, call it once, warm it up, then time `samples` calls from NumPy inputs to NumPy outputs, in ms.

    The inputs change with every call, and the answers are compared with those in the file `expected`, which `evaluate`
    wrote; it also has the user's samples, if there are any. Also returns memory in MB after imports, after loading and
    at its peak; the number of live and of working threads; CPU seconds per wall second, and interference by other
    programs, during the timed calls; and `samples` times in ms by the runtime's own clock, without copies, if it has a
    `time_evaluator`. Raises `TypeError` if an answer is not a NumPy array.
    """
    load_before = load_average()
    backends.runtime(backend)
    after_import = rss_mb()
    stored = _stored(expected) if expected else {}
    inputs = _inputs(from_json(feed["inputs"]), stored)
    began = time.perf_counter()
    infer = backends.load(backend, Path(artifact), threads=threads)
    loaded = time.perf_counter()
    after_load = rss_mb()
    first_began = time.perf_counter()
    answer = infer(inputs[0])
    called = time.perf_counter()
    for arrays in islice(cycle(inputs), warmup):
        infer(arrays)
    latencies = np.empty(samples)
    answers = [np.empty((samples, len(values)), np.float32) for values in timed_inputs.checked(answer)]
    before = interference.read()
    for i, arrays in zip(range(samples), cycle(inputs), strict=False):
        start = time.perf_counter_ns()
        answer = infer(arrays)
        latencies[i] = time.perf_counter_ns() - start
        _need_arrays(answer, backend)
        for row, values in zip(answers, timed_inputs.checked(answer), strict=True):
            row[i] = values
    after = interference.read()
    peak, shared = peak_rss_mb(), pss_mb()
    evaluator = getattr(infer, "time_evaluator", None)
    return {
        "latency_ms": (latencies / 1e6).tolist(),
        "time_evaluator_ms": evaluator(samples) if evaluator else None,
        "load_ms": (loaded - began) * 1e3,
        "first_call_ms": (called - first_began) * 1e3,
        "rss_after_import_mb": after_import,
        "rss_after_load_mb": after_load,
        "peak_rss_mb": peak,
        "pss_peak_mb": shared,
        "huge_pages_mb": huge_pages_mb(),
        "live_threads": len(after.threads),
        "working_threads": interference.working_threads(before, after),
        "cpu_per_wall": (after.process - before.process) / (after.wall - before.wall),
        "watch": {**interference.between(before, after, threads), "load": load_before},
        "wrong_calls": timed_inputs.wrong_calls(answers, _numbered("output", stored)) if expected else 0,
    }


def _need_arrays(answer: object, backend: str) -> None:
    if type(answer) is not tuple:
        raise TypeError(f"{backend} returned a {type(answer).__name__}, no tuple with an array for each output")
    if lazy := [type(array).__name__ for array in answer if type(array) is not np.ndarray]:
        raise TypeError(f"{backend} returned a {lazy[0]}, no NumPy array: it may compute when it is read")


def _stored(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def _numbered(kind: str, stored: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [array for name, array in stored.items() if name.startswith(f"{kind}_")]


def _inputs(specs: tuple[TensorSpec, ...], stored: dict[str, np.ndarray]) -> list[Arrays]:
    """The user's samples, which `evaluate` stored: to read all of them would add to the memory of this process."""
    samples = _numbered("input", stored) or synthetic.arrays(specs, timed_inputs.needed(specs))
    return timed_inputs.windows(specs, samples)
