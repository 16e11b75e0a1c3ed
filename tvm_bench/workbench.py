"""READ FIRST. One variant's way through the steps; each step is a job (see launch.py), and a finished one is skipped.

about    = describe(subject)                  what the model is: bad input ends here
source   = prepare(subject, "onnx", "int8")   compress and export: a file
artifact = build(variant)                     import to Relay, optimize, link: a library
answers  = evaluate(variant)                  accuracy, and agreement with the FP32 reference
samples  = measure(variant)                   one round of latencies, in a fresh process
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import backends, launch
from .errors import UserError
from .variant import Order, Subject, Variant

# What each form of a model is made from; FP32 modules, and ONNX files that the user brought, are made from the model.
PARENTS = {
    ("module", "int8"): ("module", "fp32"),
    ("torchscript", "fp32"): ("module", "fp32"),
    ("torchscript", "int8"): ("module", "int8"),
    ("onnx", "fp32"): ("module", "fp32"),
    ("onnx", "int8"): ("onnx", "fp32"),
}
TUNERS = {"metaschedule": ("fp32", "int8"), "autoscheduler": ("fp32",)}  # and what each can tune
LEDGER = "ledger.json"  # beside a tuner's records; written last
BATCH_FREE = {"module"}  # one file serves every batch size


@dataclass(frozen=True)
class Workbench:
    """An order, and what `describe` found out of its subject."""

    order: Order
    about: dict[str, Any]

    @property
    def subject(self) -> Subject:
        """The model before anything is done to it."""
        return self.order.subject

    @property
    def folder(self) -> Path:
        """The subject's folder below the artifacts."""
        return self.order.root / self.subject.slug

    def records(self, variant: Variant, tuner: str) -> Path:
        """Tuning records hold for one model, CPU, number of threads and batch, so their folder is named by all."""
        name = f"{self.about['mcpu']}-{variant.threads}t-b{variant.batch}"
        return self.order.logs / self.subject.slug / variant.precision / name / tuner

    def tuned_by(self, variant: Variant) -> dict[str, Path]:
        """The tuners that have records for this variant, with their folders."""
        folders = {tuner: self.records(variant, tuner) for tuner in TUNERS}
        return {tuner: folder for tuner, folder in folders.items() if (folder / LEDGER).exists()}

    def job(self, verb: str, request: dict[str, Any], label: str, **options: Any) -> dict[str, Any]:
        """Run a job, on the most threads of the order unless told; its files go to the subject's `jobs/`."""
        options = {"threads": self.order.most_threads, **options}
        return launch.job(verb, request, self.folder / "jobs", label=f"{verb}-{label}", **options)


def open_workbench(order: Order, *, calibrate: bool = False) -> Workbench:
    """Look at the model and its data. Raises `UserError` for any bad input, before anything is built."""
    bench = Workbench(order, {})
    request = {**order.subject.request(), "batch": order.batches[0], "calibrate": calibrate}
    request |= {"target": order.target, "threads": order.most_threads}
    # Never skipped: a model given as Python code can change without any file that we know of.
    return Workbench(order, bench.job("describe", request, "model", keep=False)["result"])


def prepare(bench: Workbench, kind: str, precision: str, batch: int) -> tuple[Path, dict]:
    """The model as a file of `kind` (module, torchscript, onnx), and the receipt that says how it was quantized."""
    if bench.subject.is_onnx and kind != "onnx":
        raise UserError(
            f"'{bench.subject.model}' is an ONNX file: it has no {kind} form, so eager PyTorch and --frontend pytorch "
            "cannot take it. Ask for --backends relay,onnxruntime."
        )
    parent = None if bench.subject.is_onnx and precision == "fp32" else PARENTS.get((kind, precision))
    made_from = prepare(bench, *parent, batch)[0] if parent else None
    label = f"{precision}-{kind}" if kind in BATCH_FREE or batch == 1 else f"{precision}-{kind}-b{batch}"
    out = bench.folder / "sources" / f"{label}{'.onnx' if kind == 'onnx' else '.pt'}"
    request = {
        "kind": kind,
        "precision": precision,
        "parent": str(made_from) if made_from else None,
        "out": str(out),
        "subject": bench.subject.request(),
        "description": bench.about,
        "batch": batch,
    }
    inputs = (made_from,) if made_from else ()
    return out, bench.job("prepare", request, label, inputs=inputs)


def source(bench: Workbench, variant: Variant) -> tuple[Path, dict]:
    """The file that the variant's backend takes, and the receipt that says how it was quantized."""
    frontend = variant.resolved_frontend
    kind = backends.FRONTENDS[frontend] if frontend else backends.named(variant.backend).source
    return prepare(bench, kind, variant.precision, variant.batch)


def build(bench: Workbench, variant: Variant) -> Path:
    """The file or folder that the variant's backend loads."""
    made_from, receipt = source(bench, variant)
    if not backends.named(variant.backend).builds:
        return made_from
    folder = bench.folder / variant.form
    records = bench.tuned_by(variant) if variant.tuned else {}
    about = {
        "name": variant.name,
        "model": bench.subject.request(),
        "fingerprint": bench.about["fingerprint"],
        "precision": variant.precision,
        "frontend": variant.resolved_frontend,
        "spec": bench.about["spec"],
        "classes": bench.about["classes"],
        "quantization": _quantization(bench, variant, receipt),
    }
    request = {
        "source": str(made_from),
        "out": str(folder),
        "shape": [variant.batch, *bench.about["spec"]["shape"]],
        "threads": variant.threads,
        "target_text": bench.order.target,
        "records": {tuner: str(each) for tuner, each in records.items()} or None,
        "stock": variant.backend == "relay-stock",
        "about": about,
    }
    inputs = (made_from, *(each / LEDGER for each in records.values()))
    bench.job("build", request, variant.form, inputs=inputs, threads=variant.threads)
    return folder


def evaluate(
    bench: Workbench, variant: Variant, artifact: Path, *, limit: int | None, against: dict[str, Path], seconds: float
) -> dict[str, Any]:
    """What the variant's answers are worth: Top-1, Top-5, agreement with the logits in the files of `against`.

    `against` may hold `reference` (which is compared with itself) and, for a library, `source`. Raises `JobError` after
    `seconds`.
    """
    out = answers(bench, variant)
    request = {
        "backend": variant.backend,
        "artifact": str(artifact),
        "spec": bench.about["spec"],
        "data": bench.subject.data,
        "labelled": bench.about["labelled"],
        "batch": variant.batch,
        "threads": variant.threads,
        "limit": limit,
        "against": {name: str(path) for name, path in against.items()},
        "out": str(out),
        "checks": str(_check_answers(bench, variant)),
    }
    inputs = (_library(artifact), *(path for path in against.values() if path != out))
    options = {"threads": variant.threads, "masked": True, "timeout": seconds}
    return bench.job("evaluate", request, variant.form, inputs=inputs, **options)["result"]


def answers(bench: Workbench, variant: Variant) -> Path:
    """The file of the variant's logits, which `evaluate` writes."""
    return bench.folder / "answers" / f"{variant.form}.npy"


def _check_answers(bench: Workbench, variant: Variant) -> Path:
    """The file of what the variant answers to the inputs that it is timed on."""
    return bench.folder / "answers" / f"{variant.form}.checks.npy"


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
    return bench.job("measure", request, variant.form, keep=False, **options)["result"]


def reference_variant(bench: Workbench) -> Variant:
    """What every other variant is compared with: FP32 eager PyTorch, or ONNX Runtime for an ONNX file."""
    backend = "onnxruntime" if bench.subject.is_onnx else "eager"
    batch = bench.order.batches[0] if bench.subject.is_onnx else 1  # an ONNX file may be made for one batch only
    return Variant(bench.subject, "fp32", backend, threads=bench.order.most_threads, batch=batch)


def source_variant(variant: Variant) -> Variant | None:
    """What runs the model that a library was built from, by its own runtime, picture by picture.

    None where the variant runs it itself.
    """
    if not variant.resolved_frontend:
        return None
    backend = {"onnx": "onnxruntime", "pytorch": "eager"}[variant.resolved_frontend]
    batch = variant.batch if variant.subject.is_onnx else 1
    return replace(variant, backend=backend, frontend=None, tuned=False, batch=batch)


def size_mb(artifact: Path) -> float:
    """Size on disk of what is shipped, in MB of 10^6 bytes."""
    return _library(artifact).stat().st_size / 1e6


def _library(artifact: Path) -> Path:
    return artifact / "lib.so" if artifact.is_dir() else artifact


def _quantization(bench: Workbench, variant: Variant, receipt: dict) -> dict | None:
    """How and on what the source was quantized; a traced module was quantized one step before it was traced."""
    if variant.precision != "int8":
        return None
    if variant.resolved_frontend == "pytorch":
        receipt = prepare(bench, "module", "int8", variant.batch)[1]
    return {**receipt["result"]["quantization"], "calibration": bench.about["calibration"]}
