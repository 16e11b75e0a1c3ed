"""The jobs of `tvm-bench compress`, `figures` and `operators`: what a recipe did to a network, in eager PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host.progress import Progress
from ..report.plots import gallery
from ..spec import recipe
from ..spec.errors import UserError
from ..spec.variant import RunSpec, Variant
from . import measurement, steps
from .steps import Workbench


@dataclass(frozen=True)
class Form:
    """The network in one precision, before or after the recipe, as files."""

    name: str
    bench: Workbench
    variant: Variant
    module: Path
    shipped: Path
    flops_of: Path  # the FP32 module of the same shapes


def compress(run_spec: RunSpec, images: int | None) -> tuple[dict[str, Any], Path]:
    """Carry out the recipe of `run_spec`, score each form on `images` test pictures, and compare layer by layer.

    Returns `name`, `forms` and `layers` as measure/layers.py has them, with the scores where the pictures are
    `labelled`; and the model_spec's folder.
    """
    if not run_spec.model_spec.recipe:
        raise UserError(f"there is nothing to do: give --recipe, of {', '.join(recipe.NAMES[:5]).format(50, 50)}, …")
    bench = _opened(run_spec, "compress")
    wanted = [precision for precision in run_spec.precisions if precision != "fp32" or bench.recipe.steps]
    with Progress("compress", 3 + 2 * len(wanted)) as progress:
        forms, scores = _scored(bench, wanted, images, progress)
        progress.step("layer by layer")
        files = [
            {"name": form.name, "module": str(form.module), "file": str(form.shipped), "flops_of": str(form.flops_of)}
            for form in forms
        ]
        request = {"forms": files, "spec": bench.about["spec"], "data": run_spec.model_spec.data}
        modules, version = tuple(form.module for form in forms), bench.about["data_version"]
        found = bench.job("layers", request, "fp32", inputs=modules, depends=version)["result"]
    scored = [{**score, **form} for form, score in zip(found["forms"], scores, strict=True)]
    name, labelled = run_spec.model_spec.slug, bench.about["labelled"]
    return {"name": name, "forms": scored, "layers": found["layers"], "labelled": labelled}, bench.folder


def figures(run_spec: RunSpec, images: int | None, picture: int | None) -> list[Path]:
    """Draw what the last form of `run_spec` does otherwise than FP32: returns the PNG files.

    `picture` is the number of the test picture whose feature maps are shown; None: the first that changed its class.
    """
    bench = _opened(run_spec, "figures")
    if not bench.about["labelled"]:
        raise UserError("figures need labelled pictures: give --data fashion-mnist, or another that has labels.")
    wanted = [run_spec.precisions[-1]]
    if wanted == ["fp32"] and not bench.recipe.steps:
        raise UserError("FP32 beside itself shows nothing: give --recipe, or --precision int8.")
    with Progress("figures", 4 + 2 * len(wanted)) as progress:
        forms, _ = _scored(bench, wanted, images, progress)
        progress.step("pictures and feature maps")
        out = bench.folder / "gallery.npz"
        request = {
            "modules": [str(form.module) for form in forms],
            "logits": [str(measurement.answers(form.bench, form.variant)) for form in forms],
            "spec": bench.about["spec"],
            "data": run_spec.model_spec.data,
            "picture": picture,
            "out": str(out),
        }
        bench.job("figures", request, "fp32", reuse=False)
        progress.step("drawing")
        return gallery.write(out, bench.folder / "plots", [form.name for form in forms])


def operators(run_spec: RunSpec, calls: int) -> dict[str, list[dict[str, Any]]]:
    """The time and memory of each operator of eager PyTorch, by precision: see measure/operators.py."""
    bench = _opened(run_spec, "operators")
    modules = {each: steps.prepare(bench, "module", each, run_spec.batches[0])[0] for each in run_spec.precisions}
    request = {
        "modules": {name: str(path) for name, path in modules.items()},
        "shape": [run_spec.batches[0], *bench.about["spec"]["shape"]],
        "calls": calls,
        "threads": run_spec.most_threads,
    }
    return bench.job("operators", request, "eager", reuse=False)["result"]["operators"]


def _opened(run_spec: RunSpec, command: str) -> Workbench:
    if run_spec.model_spec.is_onnx:
        raise UserError(f"'{run_spec.model_spec.model}' is an ONNX file. `{command}` needs the PyTorch model.")
    return steps.open_workbench(run_spec, calibrate="int8" in run_spec.precisions)


def _scored(
    bench: Workbench, precisions: list[str], images: int | None, progress: Progress
) -> tuple[list[Form], list[dict[str, Any]]]:
    """FP32 before the recipe, then what it makes in each precision: all are made before the first is scored."""
    plain = steps.with_recipe(bench, "")
    forms = []
    for at, precision in [(plain, "fp32"), *((bench, precision) for precision in precisions)]:
        name = precision if at is bench else "fp32, before"
        progress.step(f"making {name}")
        module = steps.prepare(at, "module", precision, 1)[0]
        shipped = steps.compress(at, at.recipe.steps)[0] if precision == "fp32" else module
        flops_of = steps.prepare(at, "module", "fp32", 1)[0]
        variant = Variant(at.model_spec, precision, "eager", threads=bench.run_spec.most_threads)
        forms.append(Form(name, at, variant, module, shipped, flops_of))
    against = {"reference": measurement.answers(plain, forms[0].variant)}
    scores = []
    for form in forms:
        progress.step(f"answers of {form.name}")
        scores.append(measurement.evaluate(form.bench, form.variant, form.module, limit=images, against=against))
    return forms, scores
