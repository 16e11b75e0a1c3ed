"""The verb `evaluate`: runs a variant on the test images and compares its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from ... import backends
from ... import data as datasets
from ...data.preprocess import InputSpec
from ...host.files import replace_with
from ...measure import timed_inputs
from ...measure.metrics import agreement, distances, scores


def run(
    backend: str,
    artifact: str,
    spec: dict,
    data: str | None,
    labelled: bool,
    batch: int,
    threads: int,
    limit: int | None,
    against: dict[str, str],
    out: str,
    checks: str,
) -> dict[str, object]:
    """Run the variant on the first `limit` test images (None: all).

    Writes its logits, float32 (images, classes), to `out`, and those of the inputs that `measure` times to `checks`.
    Without `data`, the images are seeded noise: enough to compare variants, and never scored. Returns `scores` if the
    images are `labelled`, `agreement` with the logits in the file `against["reference"]`, a part of it for the file
    `against["source"]`, and `distances` from both.
    """
    infer = backends.load(backend, Path(artifact), threads=threads)
    inputs = InputSpec.from_dict(spec)
    test = datasets.load(data, "test") if data else datasets.noise(inputs)
    count = min(len(test), limit or len(test))
    logits = _answers(infer, test.batches(inputs, batch, limit), count)
    answers = [infer(images).copy() for images in timed_inputs.inputs(inputs.shape, batch)]
    for file, values in ((out, logits), (checks, np.stack(answers))):
        with replace_with(Path(file)) as path:
            np.save(path, values)
    others = {name: np.load(path) for name, path in against.items()}
    result: dict[str, object] = {
        "outputs": [out, checks],
        "images": count if labelled else None,
        "distances": {name: distances(logits, other) for name, other in others.items()},
    }
    if labelled and test.labels is not None:
        result |= scores(logits, test.labels[:count])
    if "reference" in others:
        result |= agreement(logits, others["reference"])
    if "source" in others:
        to_source = agreement(logits, others["source"])
        result |= {f"source_{name}": to_source[name] for name in ("max_abs_error", "argmax_agreement")}
    return result


def _answers(infer: Callable, batches: Iterator[np.ndarray], count: int) -> np.ndarray:
    """The first `count` answers, in one array that is allocated first.

    Separate arrays would fragment the memory that the calls allocate and free: the process of eager PyTorch once grew
    by a megabyte per image.
    """
    first = infer(next(batches))
    result = np.empty((count, first.shape[1]), first.dtype)
    for start, answers in zip(range(0, count, len(first)), chain([first], map(infer, batches)), strict=True):
        result[start : start + len(first)] = answers[: count - start]
    return result
