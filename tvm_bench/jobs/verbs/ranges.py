"""The verb `ranges`: the first two steps of quantization by ONNX Runtime, which all mixes of INT8 and FP32 share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...compression.calibration import checked
from ...data import feeds
from ...exporters import qdq
from ...spec.feed import FeedRequest

FOLDED, RANGES = "folded.onnx", "ranges.json"


def run(source: str, feed: dict[str, Any], images: int | None, observer: str, folder: str) -> dict[str, Any]:
    """Fold the FP32 file `source`, and find the ranges of its activations on the first `images` calibration samples.

    Returns the two files in `folder`, as `qdq.write` takes them.
    """
    request, folded, ranges = FeedRequest.from_dict(feed), Path(folder, FOLDED), Path(folder, RANGES)
    folded.parent.mkdir(parents=True, exist_ok=True)
    qdq.fold(Path(source), folded)
    calibration = feeds.load(request, "calibration").batches(1, images)
    qdq.find_ranges(folded, checked(calibration, request.inputs), ranges, observer=observer)
    return {"outputs": [str(folded), str(ranges)]}
