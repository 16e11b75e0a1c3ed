"""The layers of a compiled model against its source: what the verbs `diff` and `diff_relax` share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...data import feeds
from ...host.progress import Progress
from ...layer_diff.comparison import accumulated, compared
from ...layer_diff.faulty_layers import faults
from ...layer_diff.layer import Compiler, Source, Values
from ...spec.feed import FeedRequest
from ...spec.layer_errors import Fault


def of_model(
    model: Source, inputs: list[Values], compiler: Compiler, folder: Path, progress: Progress, *, whole: bool
) -> tuple[list[dict[str, Any]], list[Fault]]:
    """The layers of `model` on `inputs` (fields of `LayerErrors`), and the faults, whose files are in `folder`.

    With `whole`, the errors before fusion, and those that accumulate in the whole model too.
    """
    rows = compared(model, inputs, compiler, progress.step, unfused=whole)
    if whole:
        progress.step("the whole model")
        rows = accumulated(model, rows, inputs, compiler)
    progress.step("faults")
    return [asdict(row) for row in rows], faults(model, rows, inputs, compiler, folder)


def inputs_of(model: Source, request: FeedRequest, images: int) -> Iterator[Values]:
    """The inputs of the first calls, which have the batch size of the file."""
    size = request.inputs[0].shape[0]
    for arrays in feeds.load(request, "test").batches(size, images):
        yield dict(zip(model.inputs, arrays, strict=True))
