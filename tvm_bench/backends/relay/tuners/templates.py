"""Tuning of this project's own schedules (see `schedules/`): Winograd or direct, and the tile, measured in the model.

A tuning step gives some convolutions the next of their candidates, builds the whole model, and profiles it in turns
with the library that has the default schedules. So a kernel is timed with the caches as its neighbours leave them, and
a few builds are enough for all convolutions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import tvm

from ....host.files import drop_cut_lines
from ....spec.errors import UserError
from ..._measured import Measured
from .. import compiler, profile
from ..artifact import open_verified
from ..kernels import to_json
from ..records import templates
from .request import TuningStep


def tune(**request: Any) -> dict[str, Any]:
    """Run one `TuningStep`, whose `candidate` is an index of the candidates of each convolution; 0 is the default.

    Returns `tasks`: a row for each distinct convolution, see `Measured.row`.
    """
    step = TuningStep(**request)
    if step.rpc:
        raise UserError("templates are measured in the whole model, on this machine. Give --tuner metaschedule.")
    drop_cut_lines(step.folder / templates.NAME)
    built, reference = open_verified(Path(step.reference))
    if step.candidate is not None:
        _measure(step, step.candidate, built["kernels"], reference)
    return {"tasks": _tasks(step.folder, built["kernels"])}


def _measure(
    step: TuningStep, candidate: int, kernels: dict[str, dict[str, Any]], reference: tvm.runtime.Module
) -> None:
    """Build with this candidate of the step's convolutions, and append the measurements to the records."""
    kernel_of = {kernel["convolution"]: kernel for kernel in kernels.values() if "convolution" in kernel}
    tried = {key: kernel_of[key]["candidates"][candidate] for key in step.tasks}
    cpu, module = step.open_model()
    build = compiler.compiled(module, cpu, compiler.Schedules(by_convolution=tried))
    tuned_ms, default_ms = profile.kernels(build.factory.module, reference)
    tuned_ms, default_ms = _by_convolution(to_json(build.kernels), tuned_ms), _by_convolution(kernels, default_ms)
    step.folder.mkdir(parents=True, exist_ok=True)
    with (step.folder / templates.NAME).open("a") as file:
        for key, schedule in tried.items():
            record = {"convolution": key, "schedule": schedule, "default": kernel_of[key]["schedule"]}
            file.write(json.dumps({**record, "ms": tuned_ms[key], "default_ms": default_ms[key]}) + "\n")


def _by_convolution(kernels: dict[str, dict[str, Any]], times: dict[str, float]) -> dict[str, float]:
    """Milliseconds of all kernels that compute the same convolution."""
    sums: dict[str, float] = defaultdict(float)
    for name, kernel in kernels.items():
        if "convolution" in kernel:
            sums[kernel["convolution"]] += times[name]
    return dict(sums)


def _tasks(folder: Path, kernels: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    same: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for kernel in kernels.values():
        if key := kernel.get("convolution"):
            same[key].append(kernel)
    # Records that were measured against an earlier default do not count.
    defaults = {key: alike[0]["candidates"][0] for key, alike in same.items()}
    ratios = {key: tried for key, tried in templates.ratios(folder).items() if next(iter(tried)) == defaults.get(key)}
    default_ms: dict[str, float] = {}
    for record in templates.records(folder):  # the first time is used, so that the best time only falls
        if record["default"] == defaults.get(record["convolution"]):
            default_ms.setdefault(record["convolution"], record["default_ms"])
    rows = []
    for key, alike in same.items():
        candidates, tried = alike[0]["candidates"], ratios.get(key, {})
        weight = sum(kernel["calls"] for kernel in alike)
        default = default_ms[key] / weight if tried else None
        best = default * min(tried.values()) if default is not None else None
        row = Measured(max(len(tried) - 1, 0), best_ms=best).row(key, key, weight, alike[0]["operations"])
        left = [index for index, name in enumerate(candidates) if index and name not in tried]
        rows.append({**row, "default_ms": default, "candidates": len(candidates), "left": left})
    return rows
