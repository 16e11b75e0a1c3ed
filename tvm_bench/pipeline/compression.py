"""The commands `compress`, `figures` and `operators`: how a recipe changes a model, measured in eager PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host.progress import Progress
from ..report.plots import gallery
from ..spec.compression_result import CompressionResult, ModelFiles, ModelNumbers, Operator
from ..spec.errors import UserError
from ..spec.task import CLASSIFICATION
from ..spec.tensors import to_json
from ..spec.variant import RunSpec, Variant
from . import measurement, steps, workbench
from .workbench import Workbench


@dataclass(frozen=True)
class Prepared:
    """The files of the model in one precision, before or after the recipe."""

    bench: Workbench
    variant: Variant
    files: ModelFiles


def compress(run_spec: RunSpec, images: int | None) -> tuple[CompressionResult, Path]:
    """Apply the recipe of `run_spec`, score each model on `images` test images (None: all), and compare the layers.

    Returns the result, with accuracies if the data has labels of the model's classes, and the model's folder.
    """
    if not run_spec.model_spec.recipe:
        raise UserError(
            "there is nothing to compress: give --recipe, such as prune-structured50+int8 "
            "(`tvm-bench compress --help` lists the techniques)."
        )
    bench = _opened(run_spec, "compress")
    precisions = [precision for precision in run_spec.precisions if precision != "fp32" or bench.recipe.steps]
    with Progress("compress", 3 + 2 * len(precisions)) as progress:
        prepared, scores = _scored(bench, precisions, images, progress)
        progress.step("comparing layers")
        model_files = [model.files for model in prepared]
        request = {"models": model_files, "spec": bench.about["spec"], "data": run_spec.model_spec.data}
        modules, version = tuple(Path(files["module"]) for files in model_files), bench.about["data_version"]
        compared = bench.job("layers", request, "fp32", inputs=modules, depends=version)["result"]
    result: CompressionResult = {
        "name": run_spec.model_spec.slug,
        "models": [_scored_numbers(*pair) for pair in zip(compared["models"], scores, strict=True)],
        "layers": compared["layers"],
        "labelled": bench.about["labelled"],
    }
    return result, bench.folder


def figures(run_spec: RunSpec, images: int | None, image: int | None) -> list[Path]:
    """Draw how the last precision of `run_spec` differs from FP32. Returns the PNG files.

    `image` is the index of the test image whose feature maps are drawn; None: the first whose class changed.
    """
    bench = _opened(run_spec, "figures")
    if not bench.about["labelled"]:
        raise UserError("figures need labelled images: give --data fashion-mnist, or other data with labels.")
    precision = run_spec.precisions[-1]
    if precision == "fp32" and not bench.recipe.steps:
        raise UserError("FP32 cannot be compared with itself: give --recipe, or --precision int8.")
    with Progress("figures", 6) as progress:
        prepared, _ = _scored(bench, [precision], images, progress)
        progress.step("examples and feature maps")
        out = bench.folder / "gallery.npz"
        request = {
            "modules": [model.files["module"] for model in prepared],
            "logits": [str(measurement.answers(model.bench, model.variant)[0]) for model in prepared],
            "spec": bench.about["spec"],
            "data": run_spec.model_spec.data,
            "image": image,
            "out": str(out),
        }
        bench.job("figures", request, "fp32", reuse=False)
        progress.step("drawing")
        return gallery.write(out, bench.folder / "plots", [model.files["name"] for model in prepared])


def operators(run_spec: RunSpec, calls: int) -> dict[str, list[Operator]]:
    """Time and memory of each operator of eager PyTorch, by precision."""
    bench = _opened(run_spec, "operators")
    batch = run_spec.batches[0]
    modules = {precision: steps.prepare(bench, "module", precision, batch)[0] for precision in run_spec.precisions}
    request = {
        "modules": {name: str(path) for name, path in modules.items()},
        "inputs": to_json(bench.inputs(batch)),
        "calls": calls,
        "threads": run_spec.most_threads,
    }
    return bench.job("operators", request, "eager", reuse=False)["result"]["operators"]


def _opened(run_spec: RunSpec, command: str) -> Workbench:
    if run_spec.model_spec.is_onnx:
        raise UserError(f"'{run_spec.model_spec.model}' is an ONNX file. `{command}` needs a PyTorch model in --model.")
    bench = steps.open_workbench(run_spec, calibrate="int8" in run_spec.precisions)
    if command != "operators" and (bench.about["task"] != CLASSIFICATION or not bench.about["spec"]):
        raise UserError(f"`{command}` needs a classifier of images, and the task is {bench.about['task']}.")
    return bench


def _scored_numbers(numbers: ModelNumbers, scores: dict[str, Any]) -> ModelNumbers:
    if "top1" not in scores:
        return numbers
    return {**numbers, "top1": scores["top1"], "top5": scores["top5"], "images": scores["images"]}


def _scored(
    bench: Workbench, precisions: list[str], images: int | None, progress: Progress
) -> tuple[list[Prepared], list[dict[str, Any]]]:
    """The original FP32 model, then the compressed one in each precision, and the scores of all.

    All are prepared before the first is scored, so that errors come early.
    """
    original = workbench.with_recipe(bench, "")
    prepared = []
    for source, precision in [(original, "fp32"), *((bench, precision) for precision in precisions)]:
        name = precision if source is bench else "fp32, before"
        progress.step(f"preparing {name}")
        prepared.append(_prepared(source, precision, name))
    against = {"reference": measurement.answers(original, prepared[0].variant)}
    scores = []
    for model in prepared:
        progress.step(f"scoring {model.files['name']}")
        module = Path(model.files["module"])
        scores.append(measurement.evaluate(model.bench, model.variant, module, limit=images, against=against))
    return prepared, scores


def _prepared(bench: Workbench, precision: str, name: str) -> Prepared:
    module = steps.prepare(bench, "module", precision, 1)[0]
    deployed = steps.compress(bench, bench.recipe.steps)[0] if precision == "fp32" else module
    fp32 = steps.prepare(bench, "module", "fp32", 1)[0]
    variant = Variant(bench.model_spec, precision, "eager", threads=bench.run_spec.most_threads)
    files: ModelFiles = {"name": name, "module": str(module), "file": str(deployed), "fp32": str(fp32)}
    return Prepared(bench, variant, files)
