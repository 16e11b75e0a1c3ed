"""The verb `mixes`: runs an ONNX file in several mixes of INT8, BF16 and FP32."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from ...data import feeds
from ...exporters import qdq
from ...host import cpu
from ...host.progress import Progress
from ...measure import rounding_cost
from ...spec.feed import FeedRequest
from ...spec.mixed_precision import Outcome
from ...spec.tensors import from_json


def run(
    folded: str,
    ranges: str,
    feed: dict[str, Any],
    split: str,
    task: str,
    outputs: list[dict[str, Any]],
    labelled: bool,
    images: int,
    per_channel: bool,
    observer: str,
    threads: int,
    mixes: list[list[str]],
) -> dict[str, Any]:
    """Run each mix, given by the nodes that are not INT8, on the first `images` samples of `split`.

    `folded` and `ranges` are files of the verb `ranges`. Returns `mixes` (fields of `Outcome`), the `score` of
    FP32 (None: no labels), and the number of `images`.
    """
    specs, samples = from_json(outputs), feeds.load(FeedRequest.from_dict(feed), split, images)
    inputs = list(samples.batches(1, rounding_cost.affordable(specs, images)))
    labels = samples.labels if labelled else None
    options: dict[str, Any] = {"vnni": cpu.has_vnni(), "per_channel": per_channel, "observer": observer}
    exact = rounding_cost.outputs(onnx.load(folded), inputs, threads)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder, Progress("mixes", len(mixes)) as progress:
        for excluded in mixes:
            progress.step(f"{len(excluded)} nodes in floats")
            path = Path(folder, "mix.onnx")
            qdq.write(Path(folded), Path(ranges), path, excluded=excluded, **options)
            rounded = rounding_cost.outputs(onnx.load(path), inputs, threads)
            cost = rounding_cost.cost(task, specs, rounded, exact)
            outcomes.append(Outcome(tuple(excluded), cost, rounding_cost.score(task, rounded, labels)))
    return {
        "mixes": [asdict(outcome) for outcome in outcomes],
        "score": rounding_cost.score(task, exact, labels),
        "images": len(inputs),
    }
