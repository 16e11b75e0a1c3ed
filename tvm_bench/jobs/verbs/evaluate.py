"""The verb `evaluate`: what a variant answers to the test pictures."""

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
    """Run every test picture; write the logits, float32 (images, classes), to `out`, those of the inputs that `measure`
    times to `checks`.

    Without `data`, seeded noise stands in: enough to compare variants, and never scored. Returns `scores` where the
    pictures are `labelled`, `agreement` with the logits in `against["reference"]`, and parts of it for
    `against["source"]`. `distances` has those to both, relative to how much their scores vary between images.
    """
    run = backends.load(backend, Path(artifact), threads=threads)
    wanted = InputSpec.from_dict(spec)
    test = datasets.load(data, "test") if data else datasets.noise(wanted)
    count = min(len(test), limit or len(test))
    logits = _answers(run, test.batches(wanted, batch, limit), count)
    answers = [run(images).copy() for images in timed_inputs.inputs(wanted.shape, batch)]
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
        found = agreement(logits, others["source"])
        result |= {f"source_{name}": found[name] for name in ("max_abs_error", "argmax_agreement")}
    return result


def _answers(run: Callable, batches: Iterator[np.ndarray], count: int) -> np.ndarray:
    """The first `count` answers in one array: kept one by one, they would lie between what each call allocates and
    frees, and the process of eager PyTorch once grew by a megabyte a picture."""
    first = run(next(batches))
    found = np.empty((count, first.shape[1]), first.dtype)
    for start, answers in zip(range(0, count, len(first)), chain([first], map(run, batches)), strict=True):
        found[start : start + len(first)] = answers[: count - start]
    return found
