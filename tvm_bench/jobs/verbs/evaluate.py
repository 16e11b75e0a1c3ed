"""The verb `evaluate`: runs a variant on the test samples and compares its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ... import backends
from ...data import feeds
from ...host.files import replace_with
from ...measure import comparison, timed_inputs
from ...measure.detection import average_precision
from ...measure.metrics import agreement, distances
from ...measure.scoring import SCORING, Scores
from ...spec import task as tasks
from ...spec.feed import SYNTHETIC, FeedRequest
from ...spec.tensors import Arrays, TensorSpec, from_json

MOST_BYTES = 512e6  # of all answers together; with larger outputs, fewer samples are compared


def run(
    backend: str,
    artifact: str,
    feed: dict[str, Any],
    task: str,
    outputs: list[dict[str, Any]],
    labelled: bool,
    batch: int,
    threads: int,
    limit: int | None,
    against: dict[str, list[str]],
    out: list[str],
    checks: str,
    detector: dict[str, Any] | None = None,
) -> dict[str, object]:
    """Run the variant on the first `limit` test samples (None: all), or on fewer if its answers are large.

    Writes each output, (samples, …), to its file in `out`, and what `measure` needs to `checks`: the answers to the
    timed inputs, and these inputs if they are the user's. Without data, the inputs are seeded noise: enough to compare
    variants, and never scored. `detector` has the name and the classes of a detector of torchvision, whose outputs
    are decoded first.

    Returns the scores of the `task` if the samples are `labelled`, and `output_errors`: for the files `against`
    `reference` and `source`, how each of the `outputs` differs. For a classifier also `agreement` with the reference, a
    part of it for the source, and `distances` from both.
    """
    infer = backends.load(backend, Path(artifact), threads=threads)
    request = FeedRequest.from_dict(feed)
    test = feeds.load(request, "test")
    answers = _answers(infer, test.batches(batch, limit), min(test.size, limit or test.size), batch)
    for file, values in zip(out, answers, strict=True):
        with replace_with(Path(file)) as path:
            np.save(path, values)
    _write_checks(infer, request, Path(checks))
    specs = from_json(outputs)
    others = {name: [np.load(path, mmap_mode="r") for path in paths] for name, paths in against.items()}
    count = len(answers[0])
    result: dict[str, object] = {
        "outputs": [*out, checks],
        "images": count if labelled else None,
        "output_errors": {name: comparison.compared(task, specs, answers, other) for name, other in others.items()},
    }
    if labelled and test.labels is not None:
        rows = test.labels[:count]
        result |= _boxes_scored(detector, specs, request, answers, rows) if detector else SCORING[task](answers, rows)
    return result | (_agreement(answers[0], others) if task == tasks.CLASSIFICATION else {})


def _boxes_scored(
    detector: dict[str, Any],
    outputs: Sequence[TensorSpec],
    request: FeedRequest,
    answers: list[np.ndarray],
    labels: np.ndarray,
) -> Scores:
    """The score of a detector of torchvision, from its raw outputs."""
    from ...models.torchvision_boxes import Decoder

    decoder = Decoder(**detector, outputs=outputs, size=request.inputs[0].shape[2:])
    return average_precision(decoder(answers), labels, decoder.overlap)


def _agreement(logits: np.ndarray, others: dict[str, list[np.ndarray]]) -> dict[str, object]:
    """How a classifier's scores agree with those of the `others`, by role."""
    scores = {name: arrays[0] for name, arrays in others.items()}
    result: dict[str, object] = {"distances": {name: distances(logits, other) for name, other in scores.items()}}
    if "reference" in scores:
        result |= agreement(logits, scores["reference"])
    if "source" in scores:
        to_source = agreement(logits, scores["source"])
        result |= {f"source_{name}": to_source[name] for name in ("max_abs_error", "argmax_agreement")}
    return result


def _write_checks(infer: Callable[[Arrays], Arrays], request: FeedRequest, file: Path) -> None:
    """Write the answers to the timed inputs as `output_0`, …, and the samples they are made of as `input_0`, …."""
    samples = feeds.timed(request, timed_inputs.needed(request.inputs))
    timed = [timed_inputs.checked(infer(arrays)) for arrays in timed_inputs.windows(request.inputs, samples)]
    stored: dict[str, Any] = {f"output_{i}": np.stack(values) for i, values in enumerate(zip(*timed, strict=True))}
    if request.samples and request.samples != SYNTHETIC:
        stored |= {f"input_{i}": array for i, array in enumerate(samples)}
    with replace_with(file) as path:
        np.savez(path, **stored)


def _answers(infer: Callable[[Arrays], Arrays], batches: Iterator[Arrays], count: int, batch: int) -> list[np.ndarray]:
    """The first `count` answers, one array for each output, which is allocated first.

    Separate arrays would fragment the memory that the calls allocate and free: the process of eager PyTorch once grew
    by a megabyte per image.
    """
    first = infer(next(batches))
    count = max(1, min(count, int(MOST_BYTES // (sum(output.nbytes for output in first) / batch))))
    results = [np.empty((count, *_of_a_sample(output, batch)), output.dtype) for output in first]
    for start, outputs in zip(range(0, count, batch), chain([first], map(infer, batches)), strict=False):
        for result, output in zip(results, outputs, strict=True):
            if _is_batched(output, batch):
                result[start : start + batch] = output[: count - start]
            else:
                result[start] = output
    return results


def _is_batched(output: np.ndarray, batch: int) -> bool:
    return output.shape[:1] == (batch,)


def _of_a_sample(output: np.ndarray, batch: int) -> tuple[int, ...]:
    return output.shape[1:] if _is_batched(output, batch) else output.shape
