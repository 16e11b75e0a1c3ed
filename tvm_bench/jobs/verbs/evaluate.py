"""The verb `evaluate`: runs a variant on the test samples and compares its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ... import backends
from ...data import feeds
from ...host.files import replace_with
from ...measure import timed_inputs
from ...measure.metrics import agreement, distances, scores
from ...spec.tensors import Arrays, from_json


def run(
    backend: str,
    artifact: str,
    feed: dict[str, Any],
    labelled: bool,
    batch: int,
    threads: int,
    limit: int | None,
    against: dict[str, list[str]],
    out: list[str],
    checks: str,
) -> dict[str, object]:
    """Run the variant on the first `limit` test samples (None: all).

    Writes each output, (samples, …), to its file in `out`, and the answers to the inputs that `measure` times to
    `checks`. Without data, the inputs are seeded noise: enough to compare variants, and never scored. Returns `scores`
    if the samples are `labelled`, `agreement` with the answers in the files `against["reference"]`, a part of it for
    the files `against["source"]`, and `distances` from both.
    """
    infer = backends.load(backend, Path(artifact), threads=threads)
    test = feeds.from_json(feed, "test")
    count = min(test.size, limit or test.size)
    answers = _answers(infer, test.batches(batch, limit), count, batch)
    timed = [timed_inputs.checked(infer(arrays)) for arrays in timed_inputs.inputs(from_json(feed["inputs"]))]
    for file, values in zip(out, answers, strict=True):
        with replace_with(Path(file)) as path:
            np.save(path, values)
    with replace_with(Path(checks)) as path:
        np.savez(path, *map(np.stack, zip(*timed, strict=True)))
    others = {name: np.load(paths[0]) for name, paths in against.items()}
    logits = answers[0]
    result: dict[str, object] = {
        "outputs": [*out, checks],
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


def _answers(infer: Callable[[Arrays], Arrays], batches: Iterator[Arrays], count: int, batch: int) -> list[np.ndarray]:
    """The first `count` answers, one array for each output, which is allocated first.

    Separate arrays would fragment the memory that the calls allocate and free: the process of eager PyTorch once grew
    by a megabyte per image.
    """
    first = infer(next(batches))
    results = [np.empty((count, *output.shape[1:]), output.dtype) for output in first]
    for start, outputs in zip(range(0, count, batch), chain([first], map(infer, batches)), strict=True):
        for result, output in zip(results, outputs, strict=True):
            result[start : start + batch] = output[: count - start]
    return results
