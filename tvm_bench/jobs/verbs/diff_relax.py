"""The verb `diff_relax`: compares a model compiled by Relax with its source. It runs in the environment `relax`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...backends.relax import target as relax_target
from ...host.progress import Progress
from ...layer_diff.relax_builds import Relax
from ...layer_diff.severed_onnx import OnnxSource
from ...spec.feed import FeedRequest
from . import _layers

STEPS = 6  # of the progress


def run(
    source: str, feed: dict[str, Any], images: int, threads: int, target: str | None, folder: str
) -> dict[str, Any]:
    """`layers` and `faults` of the verb `diff` for the ONNX file `source`."""
    model, compiler = OnnxSource.of(Path(source)), Relax(relax_target.resolve(target, threads))
    inputs = list(_layers.inputs_of(model, FeedRequest.from_dict(feed), images))
    with Progress("diff", STEPS) as progress:
        layers, faults = _layers.of_model(model, inputs, compiler, Path(folder), progress, whole=True)
    files = [file for fault in faults for file in fault.files]
    return {"layers": layers, "exported": None, "faults": [asdict(fault) for fault in faults], "outputs": files}
