"""The verb `diff`: compares a compiled model with its source, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.relay import target as relay_target
from ...data import feeds
from ...diff.comparison import accumulated, compared
from ...diff.faulty_layers import faults
from ...diff.layer import Source, Values
from ...diff.severed_onnx import OnnxSource
from ...diff.severed_torch import TorchSource
from ...host.progress import Progress
from ...measure.metrics import distances
from ...spec.feed import FeedRequest
from ...spec.tensors import from_json

STEPS = 6  # of the progress
IMAGES_OF_ITSELF = 64


def run(
    source: str,
    feed: dict[str, Any],
    images: int,
    threads: int,
    target: str | None,
    folder: str,
    whole: bool,
) -> dict[str, Any]:
    """Compare the layers of the model file `source` on the first `images` test images, built for `target`.

    Returns `layers` (fields of `LayerErrors`), in execution order, and `faults` (fields of `Fault`), whose files are
    written to `folder`. With `whole`, the errors that accumulate in the whole model too; without, `itself`: the
    distances of the source's answers from its own in another order of rounding (see `measure.metrics`).
    """
    cpu = relay_target.resolve(target, threads)
    request = FeedRequest.from_dict(feed)
    with Progress("diff", STEPS) as progress:
        model = _opened(Path(source), feed)
        inputs = list(_inputs(model, request, images))
        rows = compared(model, inputs, cpu, progress.step)
        if whole:
            progress.step("the whole model")
            errors = accumulated(model, inputs, cpu)
            rows = [replace(row, accumulated=error) for row, error in zip(rows, errors, strict=True)]
        progress.step("faults")
        results = faults(model, rows, inputs, cpu, Path(folder))
    files = [file for fault in results for file in fault.files]
    return {
        "layers": [asdict(row) for row in rows],
        "faults": [asdict(row) for row in results],
        "itself": None if whole else _itself(model, list(_inputs(model, request, IMAGES_OF_ITSELF))),
        "outputs": files,
    }


def _opened(path: Path, feed: dict[str, Any]) -> Source:
    if path.suffix == OnnxSource.suffix:
        return OnnxSource.of(path)
    return TorchSource.of(path, from_json(feed["inputs"]))


def _itself(model: Source, inputs: list[Values]) -> dict[str, float]:
    answers, others = (np.concatenate(outputs) for outputs in (model.run(inputs), model.run_otherwise(inputs)))
    return distances(others.reshape(len(others), -1), answers.reshape(len(answers), -1))


def _inputs(model: Source, request: FeedRequest, images: int) -> Iterator[Values]:
    """The inputs of the first calls, which have the batch size of the file."""
    size = request.inputs[0].shape[0]
    for arrays in feeds.load(request, "test").batches(size, images):
        yield dict(zip(model.inputs, arrays, strict=True))
