"""The command `diff`: each Relay library against its source model, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..host.files import replace_with
from ..report import layer_errors as report
from ..spec.layer_errors import Fault, LayerErrors
from ..spec.variant import RunSpec, Variant
from . import steps
from .workbench import Workbench

IMAGES = 2


@dataclass(frozen=True)
class Diff:
    """The layers of one variant, its faults, and the Markdown file with both."""

    variant: str
    layers: tuple[LayerErrors, ...]
    faults: tuple[Fault, ...]
    page: Path


def diff(run_spec: RunSpec, images: int) -> list[Diff]:
    """Compare all Relay variants of `run_spec` on the first `images` test images, and write a page for each."""
    bench = steps.open_workbench(run_spec, calibrate="int8" in run_spec.precisions)
    variants = [v for precision in run_spec.precisions for v in run_spec.variants(precision, "relay")]
    return [_compared(bench, variant, images) for variant in variants]


def layers(bench: Workbench, variant: Variant, images: int = IMAGES, *, whole: bool) -> dict[str, Any]:
    """The result of the verb `diff` for a Relay variant.

    The layers are compiled with default schedules, so that tuned libraries, and those by TVM's schedules, share it.
    """
    variant = replace(variant, backend="relay", tuned=False)
    source, _ = steps.source(bench, variant)
    request = {
        "source": str(source),
        "feed": bench.feed(variant.batch),
        "images": images,
        "threads": variant.threads,
        "target": bench.run_spec.target,
        "folder": str(_folder(bench) / f"{variant.label}-faults"),
        "whole": whole,
    }
    options = {"inputs": (source,), "depends": bench.about["data_version"], "show": whole}
    return bench.job("diff", request, f"{variant.label}{'' if whole else '-layers'}", **options)["result"]


def _compared(bench: Workbench, variant: Variant, images: int) -> Diff:
    result = layers(bench, variant, images, whole=True)
    rows = tuple(map(LayerErrors.from_dict, result["layers"]))
    faults = tuple(map(Fault.from_dict, result["faults"]))
    page = _folder(bench) / f"{variant.label}.md"
    with replace_with(page) as path:
        path.write_text(report.page(variant.name, rows, faults))
    return Diff(variant.name, rows, faults, page)


def _folder(bench: Workbench) -> Path:
    return bench.folder / "diff"
