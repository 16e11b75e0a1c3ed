"""What a variant is worth, once workbench.py has built it; both steps are jobs.

answers = evaluate(variant)    accuracy, and agreement with the FP32 reference
samples = measure(variant)     one round of latencies, in a fresh process
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..host import deployment_size
from ..jobs import launcher
from ..spec import formats
from ..spec.variant import Variant
from .workbench import Workbench


def evaluate(
    bench: Workbench,
    variant: Variant,
    artifact: Path,
    *,
    limit: int | None,
    against: dict[str, Path],
    seconds: float = launcher.HOUR,
) -> dict[str, Any]:
    """What the variant's answers are worth: Top-1, Top-5, agreement with the logits in the files of `against`.

    `against` may hold `reference` (which is compared with itself) and, for a library, `source`. Beside what the verb
    `evaluate` returns, `size_mb`. Raises `JobError` after
    `seconds`.
    """
    out = answers(bench, variant)
    request = {
        "backend": variant.backend,
        "artifact": str(artifact),
        "spec": bench.about["spec"],
        "data": bench.model_spec.data,
        "labelled": bench.about["labelled"],
        "batch": variant.batch,
        "threads": variant.threads,
        "limit": limit,
        "against": {name: str(path) for name, path in against.items()},
        "out": str(out),
        "checks": str(_check_answers(bench, variant)),
    }
    inputs = (*_shipped(artifact), *(path for path in against.values() if path != out))
    options = {"threads": variant.threads, "masked": True, "timeout": seconds}
    depends = bench.about["data_version"]
    result = bench.job("evaluate", request, variant.label, inputs=inputs, depends=depends, **options)["result"]
    # Only now is what the backend compiles in its first call there.
    return {**result, "size_mb": size_mb(artifact, variant.backend)}


def answers(bench: Workbench, variant: Variant) -> Path:
    """The file of the variant's logits, which `evaluate` writes."""
    return bench.folder / "answers" / f"{variant.label}.npy"


def identity(bench: Workbench, variant: Variant) -> str | None:
    """SHA-256 of what `evaluate` ran: artifact, the user's sources, code, versions, CPU. None where it did not run."""
    try:
        receipt = json.loads((bench.folder / "jobs" / f"evaluate-{variant.label}.receipt.json").read_text())
    except FileNotFoundError:
        return None
    return hashlib.sha256(json.dumps([receipt["key"], receipt["sources"]]).encode()).hexdigest()


def _check_answers(bench: Workbench, variant: Variant) -> Path:
    """The file of what the variant answers to the inputs that it is timed on."""
    return bench.folder / "answers" / f"{variant.label}.checks.npy"


def measure(
    bench: Workbench, variant: Variant, artifact: Path, *, warmup: int, samples: int, seconds: float
) -> dict[str, Any]:
    """One round: `samples` latencies of the variant in a fresh process. Never skipped.

    What `evaluate` kept is what the variant must answer while it is timed. Raises `JobError` after `seconds`.
    """
    expected = _check_answers(bench, variant)
    request = {
        "backend": variant.backend,
        "artifact": str(artifact),
        "spec": bench.about["spec"],
        "batch": variant.batch,
        "threads": variant.threads,
        "warmup": warmup,
        "samples": samples,
        "expected": str(expected) if expected.exists() else None,
    }
    options = {"threads": variant.threads, "masked": True, "timeout": seconds}
    return bench.job("measure", request, variant.label, reuse=False, **options)["result"]


def reference_label(bench: Workbench) -> tuple[str, str]:
    """Precision and backend of what all others are compared with: eager PyTorch, or ONNX Runtime for an ONNX file."""
    return "fp32", "onnxruntime" if bench.model_spec.is_onnx else "eager"


def reference_variant(bench: Workbench) -> Variant:
    """The variant whose answers all others are compared with."""
    precision, backend = reference_label(bench)
    batch = bench.run_spec.batches[0] if bench.model_spec.is_onnx else 1  # an ONNX file may be made for one batch only
    return Variant(bench.model_spec, precision, backend, threads=bench.run_spec.most_threads, batch=batch)


def source_variant(variant: Variant) -> Variant | None:
    """What runs the model that a library was built from, by its own runtime, picture by picture.

    None where the variant runs it itself.
    """
    if not variant.resolved_frontend:
        return None
    backend = {"onnx": "onnxruntime", "pytorch": "eager"}[variant.resolved_frontend]
    batch = variant.batch if variant.model_spec.is_onnx else 1
    return replace(variant, backend=backend, frontend=None, tuned=False, batch=batch)


def size_mb(artifact: Path, backend: str = "") -> float:
    """Size on disk of what is shipped, with what `backend` compiled from it so far, in MB of 10^6 bytes."""
    files = (*_shipped(artifact), *deployment_size.compiled_files(backend, artifact))
    return sum(file.stat().st_size for file in files) / 1e6


def _shipped(artifact: Path) -> tuple[Path, ...]:
    return (artifact / "lib.so",) if artifact.is_dir() else formats.files(artifact)
