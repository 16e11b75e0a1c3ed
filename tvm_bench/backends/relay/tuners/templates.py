"""Tuning by trial of the project's own schedules (see schedules.py), in place: Winograd or direct, and which tile.

One job gives every convolution the next of its candidates, builds the model, and profiles it in turns with the library
that has the default schedules. So a kernel is timed with the caches as its neighbours leave them, and a few builds
decide for all convolutions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import tvm

from ....host.files import drop_cut_lines
from ....spec.errors import UserError
from .. import compiler, profile
from ..artifact import open_verified
from ..kernels import to_json
from ..records import templates
from .request import Round


def tune(**request: Any) -> dict[str, Any]:
    """One `Round`, whose `task` is the number of a candidate, 0 being the default.

    Returns a task for each unlike convolution: its weight (how often it occurs), operations, number of candidates,
    trials (those that were measured), the numbers of those that are left, and milliseconds of one occurrence by default
    and at best.
    """
    asked = Round(**request)
    if asked.rpc:
        raise UserError("templates are measured in the whole model, on this machine. Give --tuner metaschedule.")
    drop_cut_lines(asked.folder / templates.NAME)
    found, reference = open_verified(Path(asked.reference))
    if asked.task is not None:
        _measure(asked, found["kernels"], reference, int(asked.task))
    return {"tasks": _ledger(asked.folder, found["kernels"])}


def _measure(asked: Round, kernels: dict[str, dict[str, Any]], reference: tvm.runtime.Module, number: int) -> None:
    """Build with the candidate `number` of every convolution that has so many, and append what was measured."""
    left = {task["key"] for task in _ledger(asked.folder, kernels) if number in task["left"]}
    able = [kernel for kernel in kernels.values() if kernel.get("convolution") in left]
    defaults = {kernel["convolution"]: kernel["schedule"] for kernel in able}
    trial = {kernel["convolution"]: kernel["candidates"][number] for kernel in able}
    chosen, module = asked.opened()
    build = compiler.compiled(module, chosen, compiler.Schedules(by_convolution=trial))
    ours, theirs = profile.kernels(build.factory.module, reference)
    ours, theirs = _by_convolution(to_json(build.kernels), ours), _by_convolution(kernels, theirs)
    asked.folder.mkdir(parents=True, exist_ok=True)
    with (asked.folder / templates.NAME).open("a") as file:
        for key, schedule in trial.items():
            record = {"convolution": key, "schedule": schedule, "default": defaults[key]}
            file.write(json.dumps({**record, "ms": ours[key], "default_ms": theirs[key]}) + "\n")


def _by_convolution(kernels: dict[str, dict[str, Any]], times: dict[str, float]) -> dict[str, float]:
    """Milliseconds of all kernels that compute the same convolution."""
    found: dict[str, float] = defaultdict(float)
    for name, kernel in kernels.items():
        if "convolution" in kernel:
            found[kernel["convolution"]] += times[name]
    return dict(found)


def _ledger(folder: Path, kernels: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    ratios = templates.ratios(folder)
    default_ms: dict[str, float] = {}
    for record in templates.records(folder):  # the first time stands, so that the best can only fall
        default_ms.setdefault(record["convolution"], record["default_ms"])
    tasks: dict[str, dict[str, Any]] = {}
    for kernel in kernels.values():
        if key := kernel.get("convolution"):
            task = tasks.setdefault(key, {"key": key, "name": key, "weight": 0, "flops": kernel["operations"]})
            task["weight"] += kernel["calls"]
            task["candidates"] = len(kernel["candidates"])
            task["left"] = [n for n, name in enumerate(kernel["candidates"]) if n and name not in ratios.get(key, ())]
    for key, task in tasks.items():
        mine = default_ms[key] / task["weight"] if key in default_ms else None
        best = mine and mine * min(ratios[key].values())
        task |= {"trials": max(len(ratios.get(key, ())) - 1, 0), "failed": {}, "default_ms": mine, "best_ms": best}
    return list(tasks.values())
