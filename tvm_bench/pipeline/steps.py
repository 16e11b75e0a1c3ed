"""READ FIRST. The steps of one variant. Each step is a job (see jobs/launcher.py); a finished step is skipped.

about    = describe(model)                  properties of the model and its data; rejects bad input
weights  = compress(model)                  apply its recipe: FP32 weights, one job for each technique
source   = prepare(model, "onnx", "int8")   quantize and export: a file
artifact = build(variant)                   import to Relay, optimize, link: a library

`measurement.py` runs the artifact: for its answers and its latencies.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..jobs.launcher import DAY
from ..spec import backends, formats
from ..spec import recipe as recipes
from ..spec.build_request import About, BuildRequest
from ..spec.errors import UserError
from ..spec.variant import RELAX, RunSpec, Variant
from . import recipe_settings
from .workbench import LEDGER, Workbench, with_recipe


def open_workbench(run_spec: RunSpec, *, calibrate: bool = False, answers: bool = False) -> Workbench:
    """Describe the model and its data. Raises `UserError` for bad input before anything is built.

    `calibrate` and `answers` say whether samples are needed: for INT8, and to check answers.
    """
    bench = Workbench(run_spec, {})
    recipe_settings.check(bench)
    request = {
        "model_spec": run_spec.model_spec.request(),
        "batch": max(run_spec.batches),
        "calibrate": calibrate,
        "calibration": run_spec.calibration,
        "target": run_spec.target,
        "threads": run_spec.most_threads,
        "layers": run_spec.settings.layers if run_spec.settings else (),
        "task": run_spec.task,
        "answers": answers,
    }
    # Never skipped: it detects changes of the user's code and files.
    return Workbench(run_spec, bench.job("describe", request, "model", reuse=False)["result"])


def compress(bench: Workbench, steps: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
    """The weights file after these `steps` of a recipe, and its receipt. Without steps, the FP32 module file.

    Each step is a job in the folder of the recipe up to that step, so that recipes with the same beginning share it.
    """
    here = with_recipe(bench, "+".join(steps))
    if not steps:
        return prepare(here, "module", "fp32", 1)
    parent, _ = compress(bench, steps[:-1])
    out = here.folder / "compressed" / "weights.safetensors"
    settings = recipe_settings.settings(here, recipes.technique(steps[-1]), out.parent / recipe_settings.NAME)
    request = {
        "technique": steps[-1],
        "parent": str(parent),
        "out": str(out),
        "model_spec": here.model_spec.request(),
        "spec": bench.about["spec"],
        "classes": bench.about["outputs_count"],
        "names": bench.about["classes"],
        "settings": settings,
    }
    teacher = Path(settings.get("teacher_weights", ""))
    inputs = (parent, teacher) if teacher.is_file() else (parent,)
    options = {"depends": bench.about["data_version"], "timeout": 7 * DAY, "show": True}
    return out, here.job("compress", request, "fp32", inputs=inputs, **options)


def prepare(bench: Workbench, kind: str, precision: str, batch: int) -> tuple[Path, dict[str, Any]]:
    """The model file in the format `kind` (see spec/formats.py), and its receipt, which has the quantization."""
    if bench.model_spec.is_onnx and kind == "module":
        raise UserError(
            f"'{bench.model_spec.model}' is an ONNX file: PyTorch's backends, executorch, litert and --frontend "
            "pytorch cannot run it. Give --backends relay,onnxruntime,openvino."
        )
    batch = 1 if kind in formats.BATCH_FREE else batch
    quantization = bench.recipe.quantization if precision != "fp32" else None
    trains = bool(quantization and quantization.aware)
    parent_format = formats.parent(kind, precision, is_onnx=bench.model_spec.is_onnx, quantization=quantization)
    parent = prepare(bench, *parent_format, batch)[0] if parent_format else None
    if (kind, precision) == ("module", "fp32") and bench.recipe.steps:
        parent, _ = compress(bench, bench.recipe.steps)
    label = f"{precision}-{kind}" if batch == 1 else f"{precision}-{kind}-b{batch}"
    out = bench.folder / "sources" / f"{label}{formats.SUFFIXES[kind]}"
    request = {
        "kind": kind,
        "precision": precision,
        "parent": str(parent) if parent else None,
        "out": str(out),
        "model_spec": bench.model_spec.request(),
        "description": bench.about,
        "batch": batch,
        "quantization": asdict(quantization) if quantization else None,
    }
    environment = formats.FORMATS[kind, precision].environment
    options: dict[str, Any] = {"inputs": (parent,) if parent else (), "venv": environment}
    if quantization and trains and kind == "module":
        path = bench.folder / "qat" / recipe_settings.NAME
        request["settings"] = recipe_settings.settings(bench, quantization, path)
        options |= {"timeout": 7 * DAY, "show": True}
    return out, bench.job("prepare_program" if environment else "prepare", request, label, **options)


def source(bench: Workbench, variant: Variant) -> tuple[Path, dict[str, Any]]:
    """The variant's source model: the file that its backend loads or builds from, and its receipt."""
    kind = backends.source(variant.backend, variant.precision, variant.resolved_frontend)
    return prepare(bench, kind, variant.source_precision, variant.batch)


def build(bench: Workbench, variant: Variant) -> Path:
    """The file or folder that the variant's backend loads."""
    model_file, receipt = source(bench, variant)
    backend = backends.named(variant.backend)
    if not backend.builds:
        return model_file
    folder = bench.folder / variant.label
    records = bench.tuned_by(variant) if variant.tuned else {}
    reference = build(bench, replace(variant, tuned=False)) if records else None
    request = BuildRequest(
        source=str(model_file),
        out=str(folder),
        inputs=bench.inputs(variant.batch),
        outputs=tuple(output["name"] for output in bench.about["model_outputs"]),
        threads=variant.threads,
        target_text=bench.run_spec.target,
        records={tuner: str(path) for tuner, path in records.items()} or None,
        reference=str(reference) if reference else None,
        stock=variant.backend == "relay-stock",
        about=_about(bench, variant, receipt),
    )
    ledgers = tuple(path / LEDGER for path in records.values())
    inputs = (model_file, *ledgers, *([reference / "lib.so"] if reference else ()))
    # With records, the build measures which schedules are the fastest.
    measures = bool(records)
    options = {"threads": variant.threads, "exclusive": measures, "masked": measures, "venv": backend.environment}
    verb = f"build_{backend.environment}" if backend.environment else "build"
    bench.job(verb, request.to_dict(), variant.label, inputs=inputs, **options)
    return folder


def _about(bench: Workbench, variant: Variant, receipt: dict[str, Any]) -> About:
    """The facts about the model for the manifest; `receipt` is that of the model file."""
    weights = compress(bench, bench.recipe.steps)[1]["outputs"] if bench.recipe.steps else {}
    return About(
        name=variant.name,
        model=bench.model_spec.request(),
        fingerprint=next(iter(weights.values()), bench.about["fingerprint"]),  # a compressed model has one file
        precision=variant.precision,
        frontend=variant.resolved_frontend,
        spec=bench.about["spec"],
        classes=bench.about["classes"],
        quantization=_quantization(bench, variant, receipt),
    )


def _quantization(bench: Workbench, variant: Variant, receipt: dict[str, Any]) -> dict[str, Any] | None:
    """How the model was quantized, and on which images. For traced modules, the receipt of the module has this."""
    if variant.precision != "int8":
        return None
    trains = bench.recipe.quantization and bench.recipe.quantization.aware
    if trains or (variant.resolved_frontend == "pytorch" and variant.backend != RELAX):
        receipt = prepare(bench, "module", "int8", variant.batch)[1]
    return {"calibration": bench.about["calibration"], **receipt["result"]["quantization"]}
