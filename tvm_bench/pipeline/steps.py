"""READ FIRST. One variant's way through the steps; each step is a job (see launch.py), and a finished one is skipped.

about    = describe(model_spec)                  what the model is: bad input ends here
weights  = compress(model_spec)                  by its recipe, if it has one: an FP32 network, one job a technique
source   = prepare(model_spec, "onnx", "int8")   quantize and export: a file
artifact = build(variant)                     import to Relay, optimize, link: a library

What a built variant answers, and how fast, is in trial.py.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..host.files import write_json
from ..jobs import launcher
from ..jobs.launcher import DAY, Job
from ..spec import backends, formats
from ..spec import recipe as recipes
from ..spec.errors import UserError
from ..spec.variant import ModelSpec, RunSpec, Variant

# The tuners, in the order in which `auto` runs the first two, and what each can tune.
TUNERS = {"templates": ("fp32", "int8"), "metaschedule": ("fp32", "int8"), "autoscheduler": ("fp32",)}
LEDGER = "ledger.json"  # beside a tuner's records; written last
RECIPE = "recipe.json"  # beside what `compress` made: the settings of its last technique


@dataclass(frozen=True)
class Workbench:
    """An order, and what `describe` found out of its model_spec."""

    run_spec: RunSpec
    about: dict[str, Any]

    @property
    def model_spec(self) -> ModelSpec:
        """The model before anything is done to it."""
        return self.run_spec.model_spec

    @property
    def folder(self) -> Path:
        """The model_spec's folder below the artifacts."""
        return self.run_spec.root / self.model_spec.slug

    @property
    def recipe(self) -> recipes.Recipe:
        """The model_spec's recipe, read."""
        return recipes.parse(self.model_spec.recipe)

    def records(self, variant: Variant, tuner: str) -> Path:
        """The folder of `tuner`'s records.

        They hold for one architecture, precision, CPU, thread count and batch size. Weights and names do not count: a
        folder is found by the hash at the end of its name.
        """
        conditions = f"{variant.precision}/{self.about['mcpu']}-{variant.threads}t-b{variant.batch}"
        existing = sorted(self.run_spec.logs.glob(f"*-{self._architecture}/{conditions}"))
        return (existing[0] if existing else self._records_folder / conditions) / tuner

    def tuned_by(self, variant: Variant) -> dict[str, Path]:
        """The tuners that have records for this variant, with their folders."""
        folders = {tuner: self.records(variant, tuner) for tuner in TUNERS}
        return {tuner: folder for tuner, folder in folders.items() if (folder / LEDGER).exists()}

    def tuned_elsewhere(self, variant: Variant) -> list[str]:
        """For which other CPUs, thread counts and batch sizes this variant has records: `znver4-2t-b1`."""
        ledgers = self.run_spec.logs.glob(f"*-{self._architecture}/{variant.precision}/*/*/{LEDGER}")
        return sorted({ledger.parent.parent.name for ledger in ledgers if ledger.parent.name in TUNERS})

    @property
    def _structured_pruning(self) -> str:
        """The part of the recipe that changes the sizes of layers."""
        techniques = {text: recipes.technique(text) for text in self.recipe.steps}
        return "+".join(
            text
            for text, technique in techniques.items()
            if isinstance(technique, recipes.Prune) and technique.pattern == "structured"
        )

    @property
    def _architecture(self) -> str:
        """Eight hexadecimal digits that change with the size of a layer, also by the recipe."""
        text = self.about["architecture"] + self._structured_pruning
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def _records_folder(self) -> Path:
        """Where new tuning records go. The model's name is for readers only."""
        named = replace(self.model_spec, weights="default", recipe=self._structured_pruning)
        return self.run_spec.logs / f"{named.slug}-{self._architecture}"

    def job(self, verb: str, request: dict[str, Any], label: str, **options: Any) -> dict[str, Any]:
        """Run a job, on the most threads of the order unless told; its files go to the model_spec's `jobs/`."""
        options = {"threads": self.run_spec.most_threads, **options}
        return launcher.run(Job(verb, request, self.folder / "jobs", f"{verb}-{label}", **options))


def open_workbench(run_spec: RunSpec, *, calibrate: bool = False) -> Workbench:
    """Look at the model and its data. Raises `UserError` for any bad input, before anything is built."""
    bench = Workbench(run_spec, {})
    _check_recipe(bench)
    request = {
        "model_spec": run_spec.model_spec.request(),
        "batch": run_spec.batches[0],
        "calibrate": calibrate,
        "target": run_spec.target,
        "threads": run_spec.most_threads,
        "layers": run_spec.settings.layers if run_spec.settings else (),
    }
    # Never skipped: a model given as Python code can change without any file that we know of.
    return Workbench(run_spec, bench.job("describe", request, "model", reuse=False)["result"])


def compress(bench: Workbench, steps: tuple[str, ...]) -> tuple[Path, dict]:
    """What the `steps` of a recipe leave, as a file of weights; without steps, the FP32 module file. And its receipt.

    Each step is a job in the folder of the recipe up to there: `distill` is done once for all that begins with it.
    """
    at = with_recipe(bench, "+".join(steps))
    if not steps:
        return prepare(at, "module", "fp32", 1)
    parent, _ = compress(bench, steps[:-1])
    out = at.folder / "compressed" / "weights.safetensors"
    settings = _settings(at, recipes.technique(steps[-1]), out.parent / RECIPE)
    request = {
        "technique": steps[-1],
        "parent": str(parent),
        "out": str(out),
        "model_spec": at.model_spec.request(),
        "spec": bench.about["spec"],
        "classes": bench.about["outputs_count"],
        "names": bench.about["classes"],
        "settings": settings,
    }
    given = Path(settings.get("teacher_weights", ""))
    inputs = (parent, given) if given.is_file() else (parent,)
    options = {"depends": bench.about["data_version"], "timeout": 7 * DAY, "show": True}
    return out, at.job("compress", request, "fp32", inputs=inputs, **options)


def prepare(bench: Workbench, kind: str, precision: str, batch: int) -> tuple[Path, dict]:
    """The model as a file of `kind` (see forms.py), and the receipt that says how it was quantized."""
    if bench.model_spec.is_onnx and kind == "module":
        raise UserError(
            f"'{bench.model_spec.model}' is an ONNX file: it has no {kind} form, so PyTorch's backends and --frontend "
            "pytorch cannot take it. Ask for --backends relay,onnxruntime,openvino."
        )
    how = bench.recipe.quantization if precision != "fp32" else None
    aware = bool(how and how.aware)
    parent = formats.parent(kind, precision, is_onnx=bench.model_spec.is_onnx, aware=aware)
    made_from = prepare(bench, *parent, batch)[0] if parent else None
    if (kind, precision) == ("module", "fp32") and bench.recipe.steps:
        made_from, _ = compress(bench, bench.recipe.steps)
    label = f"{precision}-{kind}" if kind in formats.BATCH_FREE or batch == 1 else f"{precision}-{kind}-b{batch}"
    out = bench.folder / "sources" / f"{label}{formats.SUFFIXES[kind]}"
    request = {
        "kind": kind,
        "precision": precision,
        "parent": str(made_from) if made_from else None,
        "out": str(out),
        "model_spec": bench.model_spec.request(),
        "description": bench.about,
        "batch": batch,
        "quantization": asdict(how) if how else None,
    }
    options: dict[str, Any] = {"inputs": (made_from,) if made_from else ()}
    if how and aware and kind == "module":
        request["settings"] = _settings(bench, how, out.parent / RECIPE)
        options |= {"timeout": 7 * DAY, "show": True}
    return out, bench.job("prepare", request, label, **options)


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
    folder = bench.folder / variant.label
    records = bench.tuned_by(variant) if variant.tuned else {}
    reference = build(bench, replace(variant, tuned=False)) if records else None
    weights = compress(bench, bench.recipe.steps)[1]["outputs"] if bench.recipe.steps else {}
    about = {
        "name": variant.name,
        "model": bench.model_spec.request(),
        "fingerprint": next(iter(weights.values()), bench.about["fingerprint"]),
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
        "target_text": bench.run_spec.target,
        "records": {tuner: str(each) for tuner, each in records.items()} or None,
        "reference": str(reference) if reference else None,
        "stock": variant.backend == "relay-stock",
        "about": about,
    }
    inputs = (made_from, *(each / LEDGER for each in records.values()), *([reference / "lib.so"] if reference else ()))
    # With records, the build measures which schedules are the fastest.
    options = {"threads": variant.threads, "exclusive": bool(records), "masked": bool(records)}
    bench.job("build", request, variant.label, inputs=inputs, **options)
    return folder


def _quantization(bench: Workbench, variant: Variant, receipt: dict) -> dict | None:
    """How and on what the source was quantized: a traced module, and whatever was trained, before it was exported."""
    if variant.precision != "int8":
        return None
    aware = bench.recipe.quantization and bench.recipe.quantization.aware
    if aware or variant.resolved_frontend == "pytorch":
        receipt = prepare(bench, "module", "int8", variant.batch)[1]
    return {"calibration": bench.about["calibration"], **receipt["result"]["quantization"]}


def with_recipe(bench: Workbench, recipe: str) -> Workbench:
    """The same model, compressed by another recipe."""
    return Workbench(replace(bench.run_spec, model_spec=replace(bench.model_spec, recipe=recipe)), bench.about)


def _check_recipe(bench: Workbench) -> None:
    """Raises `UserError` for a recipe that the model_spec or the precisions asked for cannot have."""
    asked, settings = bench.recipe, bench.run_spec.settings
    trained = asked.quantization and asked.quantization.aware
    if settings:
        settings.check(asked.techniques)
    if bench.model_spec.is_onnx and (asked.steps or trained):
        raise UserError(
            f"'{bench.model_spec.model}' is an ONNX file: recipe '{bench.model_spec.recipe}' changes weights, which "
            "needs the PyTorch model. Only int8 with its options goes without."
        )
    allowed = ("fp32", asked.quantization.precision) if asked.quantization else bench.run_spec.precisions
    if wrong := [each for each in bench.run_spec.precisions if each not in allowed]:
        raise UserError(
            f"recipe '{bench.model_spec.recipe}' makes {' and '.join(allowed)}, not {wrong[0]}. Leave --precision out, "
            "or the last part of the recipe."
        )


def _settings(bench: Workbench, technique: recipes.Technique, path: Path) -> dict[str, Any]:
    """The settings of `technique`: those of this run, else those that an earlier `compress` wrote to `path`, else the
    defaults. They are written before the step runs, so that an interrupted one resumes with them."""
    if bench.run_spec.settings:
        settings = bench.run_spec.settings.of(technique)
        write_json(path, {"recipe": bench.model_spec.recipe, "settings": settings})
        return settings
    if not path.exists():
        return recipes.Settings().of(technique)
    try:
        return json.loads(path.read_text())["settings"]
    except (ValueError, KeyError) as error:
        raise UserError(f"'{path}' is damaged ({error}). Delete it and run tvm-bench compress again.") from error
