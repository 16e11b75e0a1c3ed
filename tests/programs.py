"""Exported programs, converted to the files of runtimes in environments of their own."""

from pathlib import Path
from typing import Any

from tvm_bench.jobs import launcher
from tvm_bench.jobs.launcher import Job
from tvm_bench.spec.tensors import TensorSpec, to_json
from tvm_bench.spec.variant import ModelSpec


def prepare(
    kind: str,
    precision: str,
    parent: Path,
    out: Path,
    inputs: tuple[TensorSpec, ...],
    samples: Path | None = None,
    quantization: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The receipt of the job that writes the file `out`, calibrated on the samples in a file."""
    request = {
        "kind": kind,
        "precision": precision,
        "parent": str(parent),
        "out": str(out),
        "model_spec": ModelSpec("program", samples=str(samples) if samples else None).request(),
        "description": {"model_inputs": to_json(inputs), "spec": None, "calibration": None},
        "batch": inputs[0].shape[0],
        "quantization": quantization,
    }
    return launcher.run(Job("prepare_program", request, out.parent / "jobs", out.stem, venv=kind, inputs=(parent,)))
