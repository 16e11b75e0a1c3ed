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

from . import backends, forms, launch
from .errors import UserError
from .variant import Order, Subject, Variant

TUNERS = {"metaschedule": ("fp32", "int8"), "autoscheduler": ("fp32",)}  # and what each can tune
LEDGER = "ledger.json"  # beside a tuner's records; written last


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

    def records(self, precision: str, tuner: str) -> Path:
        """Tuning records hold for one model, CPU and number of threads, so their folder is named by all three."""
        name = f"{self.about['mcpu']}-{self.order.threads}t-b{self.order.batch}"
        return self.order.logs / self.subject.slug / precision / name / tuner

    def tuned_by(self, precision: str) -> dict[str, Path]:
        """The tuners that have records for this precision, with their folders."""
        folders = {tuner: self.records(precision, tuner) for tuner in TUNERS}
        return {tuner: folder for tuner, folder in folders.items() if (folder / LEDGER).exists()}

    def job(self, verb: str, request: dict[str, Any], label: str, **options: Any) -> dict[str, Any]:
        """Run a job on all threads of the order; its request, receipt and log go to the subject's `jobs/`."""
        options = {"threads": self.order.threads, **options}
        return launch.job(verb, request, self.folder / "jobs", label=f"{verb}-{label}", **options)


def open_workbench(order: Order, *, calibrate: bool = False) -> Workbench:
    """Look at the model and its data. Raises `UserError` for any bad input, before anything is built."""
    bench = Workbench(order, {})
    request = {**order.subject.request(), "batch": order.batch, "calibrate": calibrate}
    request |= {"target": order.target, "threads": order.threads}
    # Never skipped: a model given as Python code can change without any file that we know of.
    return Workbench(order, bench.job("describe", request, "model", keep=False)["result"])


def prepare(bench: Workbench, kind: str, precision: str, batch: int) -> tuple[Path, dict]:
    """The model as a file of `kind` (see forms.py), and the receipt that says how it was quantized."""
    if bench.subject.is_onnx and kind == "module":
        raise UserError(
            f"'{bench.subject.model}' is an ONNX file: it has no {kind} form, so PyTorch's backends and --frontend "
            "pytorch cannot take it. Ask for --backends relay,onnxruntime,openvino."
        )
    parent = forms.parent(kind, precision, is_onnx=bench.subject.is_onnx)
    made_from = prepare(bench, *parent, batch)[0] if parent else None
    label = f"{precision}-{kind}" if kind in forms.BATCH_FREE or batch == 1 else f"{precision}-{kind}-b{batch}"
    out = bench.folder / "sources" / f"{label}{forms.SUFFIXES[kind]}"
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
    records = bench.tuned_by(variant.precision) if variant.tuned else {}
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
    bench.job("build", request, variant.form, inputs=(made_from, *(each / LEDGER for each in records.values())))
    return folder


def evaluate(
    bench: Workbench, variant: Variant, artifact: Path, *, limit: int | None, against: dict[str, Path]
) -> dict[str, Any]:
    """What the variant's answers are worth: Top-1, Top-5, agreement with the logits in the files of `against`.

    `against` may hold `reference` (which is compared with itself) and, for a library, `source`.
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
    }
    inputs = (*_shipped(artifact), *(path for path in against.values() if path != out))
    return bench.job("evaluate", request, variant.form, inputs=inputs)["result"]


def answers(bench: Workbench, variant: Variant) -> Path:
    """The file of the variant's logits, which `evaluate` writes."""
    return bench.folder / "answers" / f"{variant.form}.npy"


def measure(bench: Workbench, variant: Variant, artifact: Path, *, warmup: int, samples: int) -> dict[str, Any]:
    """One round: `samples` latencies of the variant in a fresh process. Never skipped."""
    request = {
        "backend": variant.backend,
        "artifact": str(artifact),
        "spec": bench.about["spec"],
        "batch": variant.batch,
        "threads": variant.threads,
        "warmup": warmup,
        "samples": samples,
    }
    return bench.job("measure", request, variant.form, keep=False)["result"]


def reference_variant(bench: Workbench) -> Variant:
    """What every other variant is compared with: FP32 eager PyTorch, or ONNX Runtime for an ONNX file."""
    backend = "onnxruntime" if bench.subject.is_onnx else "eager"
    return Variant(bench.subject, "fp32", backend, threads=bench.order.threads)


def source_variant(variant: Variant) -> Variant | None:
    """What runs the file that a library was built from, by its own runtime; None where the variant runs it itself."""
    if not variant.resolved_frontend:
        return None
    backend = {"onnx": "onnxruntime", "pytorch": "eager"}[variant.resolved_frontend]
    return replace(variant, backend=backend, frontend=None, tuned=False)


def size_mb(artifact: Path) -> float:
    """Size on disk of what is shipped, in MB of 10^6 bytes."""
    return sum(file.stat().st_size for file in _shipped(artifact)) / 1e6


def _shipped(artifact: Path) -> tuple[Path, ...]:
    return (artifact / "lib.so",) if artifact.is_dir() else forms.files(artifact)


def _quantization(bench: Workbench, variant: Variant, receipt: dict) -> dict | None:
    """How and on what the source was quantized; a traced module was quantized one step before it was traced."""
    if variant.precision != "int8":
        return None
    if variant.resolved_frontend == "pytorch":
        receipt = prepare(bench, "module", "int8", variant.batch)[1]
    return {**receipt["result"]["quantization"], "calibration": bench.about["calibration"]}
