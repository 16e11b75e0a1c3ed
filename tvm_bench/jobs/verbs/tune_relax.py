"""The verb `tune_relax`: one step of MetaSchedule for Relax. It runs in the environment `relax`."""

from __future__ import annotations

from typing import Any

from ...backends.relax import metaschedule


def run(tuner: str, **request: Any) -> dict[str, Any]:
    """Run one step and return its tasks; see `spec.tuning_step.StepRequest`."""
    assert tuner == "metaschedule", f"Relax has no tuner {tuner}"
    return metaschedule.tune(**request)
