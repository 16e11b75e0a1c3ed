"""Selects the fastest build of a fused module: with the records of MetaSchedule, or with the default schedules.

A record is used only if its kernel is faster inside the model, and records at all only if the whole model is faster,
beyond the noise of paired measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import tvm

from ...spec.schedule_source import DEFAULT, FAILED, KEPT, TUNED
from .._ratios import ratio, select
from .compiler import SCHEDULE, Compiled, Fused, built
from .library import Library
from .records import Records

KERNEL_TURNS = 15
MODEL_TURNS, MODEL_RUNS = 20, 5


def best(
    model: Fused, target: tvm.target.Target, records: Records, default: Library
) -> tuple[Compiled, dict[str, Any]]:
    """The fastest build, and the entry `tuning` of the manifest, as `backends.relay.selection.best` returns it."""
    slower, in_place = slower_records(built(model, target, records), default)
    tuned = built(model, target, records, slower)
    times = whole_models({"default": default, SCHEDULE: default.rebuilt(tuned)})
    found = ratio(times[SCHEDULE], times["default"])
    used = any(kernel["kind"] == TUNED for kernel in tuned.kernels.values())
    name = select({SCHEDULE: found} if used else {})
    build = tuned if name == SCHEDULE else _by_default(model, target, tuned)
    return build, {
        "candidates_ms": {candidate: float(np.median(values)) for candidate, values in times.items()},
        "ratios": {SCHEDULE: asdict(found)},
        "in_place_ms": in_place,
        "chosen": name,
        "tie": used and name == "default" and found.low <= 1.0,
        "coverage": coverage(default.rebuilt(build)),
    }


def unmeasured(model: Fused, target: tvm.target.Target, records: Records) -> tuple[Compiled, dict[str, Any]]:
    """Like `best`, for a target that this CPU cannot run: the records are used without a comparison."""
    empty: dict[str, Any] = {"candidates_ms": {}, "ratios": {}, "in_place_ms": {}, "coverage": {}}
    return built(model, target, records), {**empty, "chosen": SCHEDULE, "tie": False}


def slower_records(searched: Compiled, default: Library) -> tuple[frozenset[str], dict[str, tuple[float, float]]]:
    """The kernels whose record is not faster than the default schedule, each measured inside its model.

    Also, by record, the milliseconds of a call with the default schedule and with the record.
    """
    library = default.rebuilt(searched)
    runs, default_runs = kernel_runs(library, default)
    slower: set[str] = set()
    in_place: dict[str, tuple[float, float]] = {}
    for name, kernel in searched.kernels.items():
        if kernel["kind"] == TUNED:
            times = (default_runs[name] / kernel["calls"], runs[name] / kernel["calls"])
            in_place[kernel["record"]] = float(np.median(times[0])), float(np.median(times[1]))
            if not ratio(runs[name], default_runs[name]).is_faster:
                slower.add(name)
    return frozenset(slower), in_place


def whole_models(libraries: Mapping[str, Library]) -> dict[str, np.ndarray]:
    """Milliseconds of one inference of each library: for each turn, the median of its runs."""
    times: dict[str, list[float]] = {name: [] for name in libraries}
    for _ in range(MODEL_TURNS):
        for name, library in libraries.items():
            times[name].append(float(np.median(library.time_evaluator(MODEL_RUNS))))
    return {name: np.array(values) for name, values in times.items()}


def kernel_runs(*libraries: Library) -> list[dict[str, np.ndarray]]:
    """Milliseconds by kernel of each library, all its calls together: one value for each run, taken in turns."""
    runs: list[list[dict[str, float]]] = [[] for _ in libraries]
    for _ in range(KERNEL_TURNS):
        for library, times in zip(libraries, runs, strict=True):
            times.append(library.kernel_ms())
    return [{name: np.array([run[name] for run in times]) for name in times[0]} for times in runs]


def coverage(library: Library) -> dict[str, float]:
    """The share of the model's time, 0 to 1, by schedule source."""
    (runs,) = kernel_runs(library)
    times = {name: float(np.median(values)) for name, values in runs.items()}
    shares = dict.fromkeys((TUNED, KEPT, FAILED, DEFAULT), 0.0)
    for name, milliseconds in times.items():
        shares[library.kernels[name]["kind"]] += milliseconds / sum(times.values())
    return shares


def _by_default(model: Fused, target: tvm.target.Target, tuned: Compiled) -> Compiled:
    """The build with the default schedules only. Kernels with a record say that it is not used."""
    build = built(model, target)
    entries = {
        name: kernel | {"kind": KEPT if other["kind"] == TUNED else other["kind"], "record": other["record"]}
        for (name, kernel), other in zip(build.kernels.items(), tuned.kernels.values(), strict=True)
    }
    return replace(build, kernels=entries)
