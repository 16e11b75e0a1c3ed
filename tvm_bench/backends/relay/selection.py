"""Selects the fastest build of a model: the candidates are a build for each tuner's records, and the default schedules.

A candidate is selected only if the whole model is faster than with the default schedules, beyond the noise of paired
measurements. A kernel of MetaSchedule is used only if it is faster inside the model. Otherwise the default is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tvm

from ...spec.schedule_source import DEFAULT, FAILED, KEPT, TUNED
from .._ratios import ratio, select
from . import kernels as kernel_infos
from . import profile, timing
from .compiler import Compiled, Schedules, compiled
from .kernels import KernelInfo, Kernels
from .records import templates


@dataclass(frozen=True)
class Reference:
    """The library with the default schedules, and its kernels."""

    library: tvm.runtime.Module
    kernels: Kernels


@dataclass(frozen=True)
class Kept:
    """The kernels that keep their default schedule although MetaSchedule has a record for them.

    `in_place_ms`: by record, the milliseconds of a call with the default schedule and with the record.
    """

    kernels: frozenset[str]
    in_place_ms: dict[str, tuple[float, float]]


def best(
    module: tvm.IRModule, target: tvm.target.Target, records: Mapping[str, Path], default: Reference
) -> tuple[Compiled, dict[str, Any]]:
    """The fastest build of a lowered `module`: by the `records` of a tuner, or by the `default` schedules.

    Returns the build and, for the manifest:
    - `candidates_ms`: the median latency of each candidate;
    - `ratios`: their times relative to the default's, with confidence intervals;
    - `in_place_ms`: by MetaSchedule's record, milliseconds per call with the default schedule and with the record;
    - `chosen`: the name of the selected candidate;
    - `tie`: whether the default was kept although a candidate may be as fast;
    - `coverage`: the share of the model's time by schedule source.
    """
    builds, in_place = candidates(module, target, records, default)
    times = timing.whole_models({"default": default.library, **{name: b.library for name, b in builds.items()}})
    ratios = {name: ratio(times[name], times["default"]) for name in builds}
    name = select({name: found for name, found in ratios.items() if uses_records(builds[name].kernels)})
    build = builds[name] if name in builds else compiled(module, target, Schedules())
    build = replace(build, kernels=label_sources(build.kernels, (other.kernels for other in builds.values())))
    return build, {
        "candidates_ms": {candidate: float(np.median(values)) for candidate, values in times.items()},
        "ratios": {candidate: asdict(found) for candidate, found in ratios.items()},
        "in_place_ms": in_place,
        "chosen": name,
        "tie": name == "default" and any(found.low <= 1.0 for found in ratios.values()),
        "coverage": coverage(build),
    }


def candidates(
    module: tvm.IRModule, target: tvm.target.Target, records: Mapping[str, Path], default: Reference
) -> tuple[dict[str, Compiled], dict[str, tuple[float, float]]]:
    """A build by each tuner's records, and `in_place_ms` of MetaSchedule's kernels."""
    builds: dict[str, Compiled] = {}
    in_place: dict[str, tuple[float, float]] = {}
    by_convolution = templates.best(records["templates"]) if "templates" in records else {}
    if "templates" in records:
        builds["templates"] = compiled(module, target, Schedules("templates", by_convolution))
    if folder := records.get("metaschedule"):
        plan = Schedules("metaschedule", by_convolution, folder)
        before = builds.get("templates")
        defaults = keep_faster_defaults(
            compiled(module, target, plan), Reference(before.library, before.kernels) if before else default
        )
        builds["metaschedule"] = compiled(module, target, replace(plan, ignored=defaults.kernels))
        in_place = defaults.in_place_ms
    if folder := records.get("autoscheduler"):
        builds["autoscheduler"] = compiled(module, target, Schedules("autoscheduler", records=folder))
    return builds, in_place


def keep_faster_defaults(searched: Compiled, default: Reference) -> Kept:
    """Compare each kernel with a record of MetaSchedule to its counterpart in `default`, inside the models.

    A kernel without a counterpart in `default` keeps its record.
    """
    searched_runs, default_runs = profile.kernel_runs(searched.library, default.library)
    slower: set[str] = set()
    in_place: dict[str, tuple[float, float]] = {}
    for name, kernel in searched.kernels.items():
        if kernel.kind != TUNED or kernel.schedule != "metaschedule" or kernel.record is None:
            continue
        other = kernel_infos.counterpart(name, searched.kernels, default.kernels)
        if other is None or other not in default_runs or name not in searched_runs:
            continue
        default_ms = default_runs[other] / default.kernels[other].calls
        searched_ms = searched_runs[name] / kernel.calls
        in_place[kernel.record] = float(np.median(default_ms)), float(np.median(searched_ms))
        if not ratio(searched_ms, default_ms).is_faster:
            slower.add(name)
    return Kept(frozenset(slower), in_place)


def unmeasured(
    module: tvm.IRModule, target: tvm.target.Target, records: Mapping[str, Path]
) -> tuple[Compiled, dict[str, Any]]:
    """Like `best`, for a target that this CPU cannot run: the records are used without a comparison."""
    tuner = next(name for name in ("metaschedule", "templates", "autoscheduler") if name in records)
    by_convolution = templates.best(records["templates"]) if "templates" in records else {}
    plan = Schedules(tuner, by_convolution, records[tuner] if tuner != "templates" else None)
    empty: dict[str, Any] = {"candidates_ms": {}, "ratios": {}, "in_place_ms": {}, "coverage": {}}
    return compiled(module, target, plan), {**empty, "chosen": tuner, "tie": False}


def uses_records(kernels: Kernels) -> bool:
    """Whether any kernel uses a record. Otherwise the code is that of the default."""
    return any(kernel.kind == TUNED for kernel in kernels.values())


def label_sources(kernels: Kernels, others: Iterable[Kernels]) -> dict[str, KernelInfo]:
    """The kernels, with `KEPT` in place of `DEFAULT` if one of the `others` has a record for the same computation."""
    tuned = {_computation(*item) for other in others for item in other.items() if item[1].record}
    return {
        name: replace(kernel, kind=KEPT) if kernel.kind == DEFAULT and _computation(name, kernel) in tuned else kernel
        for name, kernel in kernels.items()
    }


def _computation(name: str, kernel: KernelInfo) -> str:
    """What a kernel computes: names differ between candidates with other layouts or algorithms."""
    return kernel.convolution or name


def coverage(build: Compiled) -> dict[str, float]:
    """The share of the model's time, 0 to 1, by schedule source."""
    (times,) = profile.kernels(build.library)
    shares = dict.fromkeys((TUNED, KEPT, FAILED, DEFAULT), 0.0)
    for name, milliseconds in times.items():
        kind = build.kernels[name].kind if name in build.kernels else DEFAULT
        shares[kind] += milliseconds / sum(times.values())
    return shares
