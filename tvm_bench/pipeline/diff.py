"""The command `diff`: each library of Relay or Relax against its source model, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..host.files import replace_with
from ..report import layer_errors as report
from ..spec import formats
from ..spec.errors import UserError, unknown
from ..spec.layer_errors import ExportErrors, Fault, LayerErrors
from ..spec.variant import RunSpec, Variant
from . import steps
from .workbench import Workbench

IMAGES = 2
PRECISIONS = ("fp32", "int8")
BACKENDS = RELAY, RELAX = "relay", "relax"


@dataclass(frozen=True)
class Diff:
    """The layers of one variant, its faults, and the Markdown file with both.

    `exported` are the layers of the ONNX file against PyTorch (None: the library is not built from an export).
    """

    variant: str
    layers: tuple[LayerErrors, ...]
    exported: tuple[ExportErrors, ...] | None
    faults: tuple[Fault, ...]
    page: Path


def diff(run_spec: RunSpec, images: int, backend: str = RELAY) -> list[Diff]:
    """Compare all variants of `run_spec` on the first `images` test images, and write a page for each.

    `backend` is one of `BACKENDS`.

    Raises `UserError` for a precision or a front end whose layers have no source to compare with.
    """
    if backend not in BACKENDS:
        raise unknown("backend of diff", backend, BACKENDS)
    if others := [precision for precision in run_spec.precisions if precision not in PRECISIONS]:
        raise UserError(f"diff cannot compare the layers of {', '.join(others)}. Give --precision fp32,int8.")
    if backend == RELAX and "pytorch" in run_spec.frontends:
        raise UserError("diff compares libraries of Relax with ONNX files only. Give --frontend onnx.")
    bench = steps.open_workbench(run_spec, calibrate="int8" in run_spec.precisions)
    variants = [v for precision in run_spec.precisions for v in run_spec.variants(precision, backend)]
    return [_compared(bench, variant, images) for variant in variants]


def layers(bench: Workbench, variant: Variant, images: int = IMAGES, *, whole: bool) -> dict[str, Any]:
    """The result of the verb `diff` for a Relay variant.

    The layers are compiled with default schedules, so that tuned libraries, and those by TVM's schedules, share it.
    """
    variant = replace(variant, backend=RELAY, tuned=False)
    source, _ = steps.source(bench, variant)
    export = _export(bench, variant) if whole else None
    request = {**_request(bench, variant, source, images), "whole": whole, "export": export}
    inputs = (source, *([Path(export["module"]), Path(export["onnx"])] if export else ()))
    options = {"inputs": inputs, "depends": bench.about["data_version"], "show": whole}
    return bench.job("diff", request, f"{variant.label}{'' if whole else '-layers'}", **options)["result"]


def _layers_of_relax(bench: Workbench, variant: Variant, images: int) -> dict[str, Any]:
    source, _ = steps.source(bench, variant)
    options = {"inputs": (source,), "depends": bench.about["data_version"], "show": True, "venv": RELAX}
    request = _request(bench, variant, source, images)
    return bench.job("diff_relax", request, variant.label, **options)["result"]


def _request(bench: Workbench, variant: Variant, source: Path, images: int) -> dict[str, Any]:
    return {
        "source": str(source),
        "feed": bench.feed(variant.batch),
        "images": images,
        "threads": variant.threads,
        "target": bench.run_spec.target,
        "folder": str(_folder(bench) / f"{variant.label}-faults"),
    }


def _export(bench: Workbench, variant: Variant) -> dict[str, Any] | None:
    """The files of a PyTorch module and of the ONNX file that was exported from it, for the verb `diff`.

    ONNX Runtime quantizes an ONNX file: then that file is the exported one. None: no ONNX file was exported.
    """
    if variant.resolved_frontend != "onnx":
        return None
    quantization = bench.recipe.quantization if variant.precision != "fp32" else None
    parent_of = partial(formats.parent, is_onnx=bench.model_spec.is_onnx, quantization=quantization)
    file = ("onnx", variant.precision)
    while (parent := parent_of(*file)) and parent[0] == "onnx":
        file = parent
    if not parent:
        return None
    module, onnx = (steps.prepare(bench, *row, variant.batch)[0] for row in (parent, file))
    return {"module": str(module), "onnx": str(onnx), "pt2e": file[1] != parent[1]}


def _compared(bench: Workbench, variant: Variant, images: int) -> Diff:
    compare = _layers_of_relax if variant.backend == RELAX else partial(layers, whole=True)
    result = compare(bench, variant, images)
    rows = tuple(map(LayerErrors.from_dict, result["layers"]))
    exported = result["exported"]
    modules = None if exported is None else tuple(map(ExportErrors.from_dict, exported))
    faults = tuple(map(Fault.from_dict, result["faults"]))
    page = _folder(bench) / f"{variant.label}.md"
    with replace_with(page) as path:
        path.write_text(report.page(variant.name, rows, modules, faults))
    return Diff(variant.name, rows, modules, faults, page)


def _folder(bench: Workbench) -> Path:
    return bench.folder / "diff"
