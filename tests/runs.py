"""Results of races that nobody ran, for tests of what is said about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvm_bench.analysis.results import Results, Row

# name: median ms, kernels ms, load ms, first call ms, peak MB, after imports MB, size MB, top-1, agreement
REALISTIC = {
    "fp32-eager": (31.6, None, 190.0, 41.0, 612, 395, 46.8, 0.6976, 1.0),
    "int8-eager": (15.2, None, 240.0, 22.0, 571, 395, 11.9, 0.6951, 0.956),
    "fp32-relay": (24.9, 24.6, 88.0, 25.4, 402, 236, 47.1, 0.6976, 1.0),
    "int8-relay": (9.87, 9.71, 61.0, 10.9, 301, 236, 12.2, 0.6942, 0.951),
    "fp32-onnxruntime": (22.7, None, 71.0, 27.0, 287, 112, 46.8, 0.6976, 0.99998),
    "int8-onnxruntime": (9.91, None, 55.0, 12.0, 188, 112, 11.8, 0.6929, 0.947),
}


def times(median: float, rounds: int = 10, samples: int = 60, seed: int = 0) -> list[list[float]]:
    """Rounds that wander by 1 % with a right tail, as steady calls do."""
    rng = np.random.default_rng(seed)
    levels = median * (1 + 0.01 * rng.standard_normal(rounds))
    return [(level * (1 + rng.gamma(1.2, 0.008, samples))).tolist() for level in levels]


def a_row(form: str, rounds: list[list[float]], **more: object) -> Row:
    precision, backend = form.split("-")
    return Row(f"resnet18/{form}", precision, backend, latency_ms={"rounds": rounds}, **more)


def a_run(*rows: Row, **machine: object) -> Results:
    machine = {"cpu": "Xeon", "cores": 4, "load_average": [0.3, 0.2, 0.1], **machine}
    return Results(machine, {"threads": 4, "command": "tvm-bench bench resnet18 --threads 4"}, rows)


def realistic() -> Results:
    rows = []
    for seed, (form, numbers) in enumerate(REALISTIC.items()):
        median, kernels, load, first, peak, imports, size, top1, agreement = numbers
        row = a_row(form, times(median, seed=seed), load_ms=[load] * 10, first_call_ms=[first] * 10)
        row = replace(row, time_evaluator_ms=times(kernels, seed=99) if kernels else None, size_mb=size, top1=top1)
        row = replace(row, top5=top1 + 0.19, images=50_000, argmax_agreement=agreement, cpu_per_wall=[3.9] * 10)
        rows.append(replace(row, peak_rss_mb=[float(peak)] * 10, rss_after_import_mb=[float(imports)] * 10))
    return a_run(*rows)


def constant(value: float, rounds: int = 6, samples: int = 50) -> list[list[float]]:
    return [[value] * samples for _ in range(rounds)]


def scored(row: Row, right: range | list[int], images: int = 1000) -> Row:
    """The row with the images of these numbers classified correctly."""
    correct = np.zeros(images, bool)
    correct[list(right)] = True
    return replace(row, images=images, top1=float(correct.mean()), hits=np.packbits(correct).tobytes().hex())


FAILED = Row("resnet18/fp32-relax", "fp32", "relax", status="failed", error="no LLVM | target [bold]\nTraceback")
