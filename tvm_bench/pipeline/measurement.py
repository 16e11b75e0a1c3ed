"""Runs the evaluate and measure jobs of a built variant.

evaluate(variant)    accuracy, and agreement with the FP32 reference
measure(variant)     one round: latencies in a fresh process
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..host import deployment_size
from ..jobs import launcher
from ..spec import backends, formats
from ..spec.variant import RELAX, RELAY, Variant
from .workbench import Workbench

# For libraries of Relay: opening them needs TVM's runtime, not its compiler, which takes 70 MB more memory.
RUNTIME_ALONE = {"TVM_USE_RUNTIME_LIB": "1"}


def evaluate(
    bench: Workbench,
    variant: Variant,
    artifact: Path,
    *,
    limit: int | None,
    against: dict[str, tuple[Path, ...]],
    seconds: float = launcher.HOUR,
) -> dict[str, Any]:
    """The result of the verb `evaluate`, and `size_mb`: accuracy, and agreement with the answers `against`.

    `against` may have `reference` (the reference is compared with itself) and, for a library, `source`. `limit` is the
    number of images (None: all). Raises `JobError` after `seconds`.
    """
    out = answers(bench, variant)
    request = {
        "backend": variant.backend,
        "artifact": str(artifact),
        "feed": bench.feed(variant.batch),
        "task": bench.about["task"],
        "outputs": bench.about["model_outputs"],
        "labelled": bench.about["labelled"],
        "batch": variant.batch,
        "threads": variant.threads,
        "limit": limit,
        "against": {name: [str(path) for path in paths] for name, paths in against.items()},
        "out": [str(path) for path in out],
        "checks": str(_check_answers(bench, variant)),
        "detector": bench.about["detector"],
    }
    inputs = (*_shipped(artifact), *(path for paths in against.values() if paths != out for path in paths))
    options = {"threads": variant.threads, "masked": True, "timeout": seconds, "venv": _venv(variant)}
    depends = bench.about["data_version"]
    result = bench.job("evaluate", request, variant.label, inputs=inputs, depends=depends, **options)["result"]
    # Measured after the run: some backends compile files in their first call.
    return {**result, "size_mb": size_mb(artifact, variant.backend)}


def answers(bench: Workbench, variant: Variant) -> tuple[Path, ...]:
    """The files of the variant's answers, one for each output, which `evaluate` writes."""
    outputs = range(len(bench.about["model_outputs"]))
    return tuple(bench.folder / "answers" / f"{variant.label}.{i}.npy" for i in outputs)


def identity(bench: Workbench, variant: Variant) -> str | None:
    """SHA-256 of the inputs of `evaluate`: artifact, user's sources, code, versions, CPU. None if it did not run."""
    try:
        receipt = json.loads((bench.folder / "jobs" / f"evaluate-{variant.label}.receipt.json").read_text())
    except FileNotFoundError:
        return None
    return hashlib.sha256(json.dumps([receipt["key"], receipt["sources"]]).encode()).hexdigest()


def _check_answers(bench: Workbench, variant: Variant) -> Path:
    """The path of the variant's answers to the timed inputs."""
    return bench.folder / "answers" / f"{variant.label}.checks.npz"


def measure(
    bench: Workbench, variant: Variant, artifact: Path, *, warmup: int, samples: int, seconds: float
) -> dict[str, Any]:
    """One round: `samples` latencies of the variant in a fresh process. Never skipped.

    The timed answers are compared with those that `evaluate` stored. Raises `JobError` after `seconds`.
    """
    expected = _check_answers(bench, variant)
    request = {
        "backend": variant.backend,
        "artifact": str(artifact),
        "feed": bench.feed(variant.batch),
        "threads": variant.threads,
        "warmup": warmup,
        "samples": samples,
        "expected": str(expected) if expected.exists() else None,
    }
    environment = RUNTIME_ALONE if variant.backend in RELAY else {}
    options = {"masked": True, "timeout": seconds, "environment": environment, "venv": _venv(variant)}
    job = bench.job("measure", request, variant.label, threads=variant.threads, reuse=False, **options)
    return job["result"]


def _venv(variant: Variant) -> str | None:
    return backends.named(variant.backend).environment


def reference_kind(bench: Workbench) -> tuple[str, str]:
    """The precision and the backend of the reference: FP32 eager PyTorch, or ONNX Runtime for an ONNX file."""
    return "fp32", "onnxruntime" if bench.model_spec.is_onnx else "eager"


def reference_variant(bench: Workbench) -> Variant:
    """The reference: the variant whose answers all others are compared with."""
    precision, backend = reference_kind(bench)
    batch = bench.run_spec.batches[0] if bench.model_spec.is_onnx else 1  # an ONNX file may have a fixed batch size
    return Variant(bench.model_spec, precision, backend, threads=bench.run_spec.most_threads, batch=batch)


def source_variant(variant: Variant) -> Variant | None:
    """The variant that runs a library's source model by its own runtime, with batch size 1 where the file allows it.

    None for a variant that is no library.
    """
    if not variant.resolved_frontend:
        return None
    precision = variant.source_precision
    if variant.backend == RELAX and (variant.resolved_frontend, precision) == ("pytorch", "int8"):
        return replace(variant, backend="inductor", frontend=None)  # eager PyTorch has another INT8
    backend = {"onnx": "onnxruntime", "pytorch": "eager"}[variant.resolved_frontend]
    batch = variant.batch if variant.model_spec.is_onnx else 1
    return replace(variant, precision=precision, backend=backend, frontend=None, tuned=False, batch=batch)


def size_mb(artifact: Path, backend: str = "") -> float:
    """Size on disk of the shipped files, and of those that `backend` has compiled from them, in MB of 10^6 bytes."""
    files = (*_shipped(artifact), *deployment_size.compiled_files(backend, artifact))
    return sum(file.stat().st_size for file in files) / 1e6


def _shipped(artifact: Path) -> tuple[Path, ...]:
    return (artifact / "lib.so",) if artifact.is_dir() else formats.files(artifact)
