"""The verb `cure`: quantizes all layers of an ONNX file in one way, and measures what that costs."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from ...compression.calibration import checked
from ...data import feeds
from ...exporters import qdq
from ...host import cpu
from ...measure import rounding_cost
from ...spec import recipe
from ...spec.cures import CORRECTIONS, RECIPES
from ...spec.feed import FeedRequest
from ...spec.mixed_precision import Outcome
from ...spec.tensors import from_json


def run(
    folded: str,
    cure: str,
    feed: dict[str, Any],
    task: str,
    outputs: list[dict[str, Any]],
    labelled: bool,
    calibration: int | None,
    images: int,
    threads: int,
) -> dict[str, Any]:
    """Quantize the file `folded` by `cure`, one of `CURES`, on the first `calibration` samples (None: all).

    Returns the fields of its `Outcome` on the first `images` calibration samples.
    """
    request, specs = FeedRequest.from_dict(feed), from_json(outputs)
    samples = feeds.load(request, "calibration")
    inputs = list(samples.batches(1, rounding_cost.affordable(specs, images)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        batches = checked(samples.batches(1, calibration), request.inputs)
        if cure in CORRECTIONS:
            from ...exporters import nncf_file

            nncf_file.quantize(Path(folded), path, batches, CORRECTIONS[cure], vnni=cpu.has_vnni())
        else:
            quantization = recipe.parse(RECIPES[cure]).quantization
            assert quantization is not None, "each of these recipes quantizes"
            ranges, options = Path(folder, "ranges.json"), quantization.by_onnxruntime
            qdq.find_ranges(Path(folded), batches, ranges, observer=options["observer"])
            qdq.write(Path(folded), ranges, path, vnni=cpu.has_vnni(), **options)
        rounded = rounding_cost.outputs(onnx.load(path), inputs, threads)
    cost = rounding_cost.cost(task, specs, rounded, rounding_cost.outputs(onnx.load(folded), inputs, threads))
    return asdict(Outcome((), cost, rounding_cost.score(task, rounded, samples.labels if labelled else None)))
