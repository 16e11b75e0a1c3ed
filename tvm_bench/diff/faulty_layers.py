"""From wrong layers to faults: the kind of each, and the smallest part that shows it, as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tvm

from ..spec.layer_errors import Fault, LayerErrors
from .comparison import Outputs, diff, run_part
from .faults import Sample, kind_of
from .layer import Layer, Source, Values

IMPORT, KERNEL = "import and lowering", "schedules and kernels"


def faults(
    source: Source, rows: Iterable[LayerErrors], inputs: list[Values], target: tvm.target.Target, folder: Path
) -> list[Fault]:
    """A fault for each wrong layer in `rows` (of all layers), with files in `folder` for the first of each pattern."""
    seen: set[tuple] = set()
    results = []
    for row, layer in zip(rows, source.layers, strict=True):
        if not row.wrong:
            continue
        stage = IMPORT if row.relay.wrong else KERNEL
        values = [source.record(image, [*layer.inputs, layer.output]) for image in inputs]
        outputs = run_part(source, [layer.output], set(layer.inputs), values, target)
        kind = kind_of(_sample(source, layer, stage, outputs, inputs))
        pattern = (row.operators, stage, kind.name)
        files = () if pattern in seen else _files(source, layer, values[0], outputs, folder)
        seen.add(pattern)
        alone = diff(layer, outputs).wrong
        results.append(Fault(row.name, row.operators, stage, kind.name, kind.evidence, alone, files))
    return results


def _sample(source: Source, layer: Layer, stage: str, outputs: Outputs, inputs: list[Values]) -> Sample:
    """The outputs of all images together."""
    ours, theirs = (outputs.relay, outputs.source) if stage == IMPORT else (outputs.library, outputs.relay)
    values, right = (np.concatenate([image[layer.output] for image in images]) for images in (ours, theirs))
    if not layer.quantization:
        span = float(np.ptp(right)) or 1.0
        return Sample(values.astype(np.float64) / span, right.astype(np.float64) / span)
    scale, zero = layer.quantization.along(right.ndim)
    limits = np.iinfo(layer.quantization.dtype)
    real = None
    if layer.real:
        recorded = [source.record(image, [layer.real])[layer.real] for image in inputs]
        real = np.concatenate(recorded).astype(np.float64) / scale + zero
    values, right = (layer.quantization.steps(array).astype(np.float64) for array in (values, right))
    return Sample(values, right, real, zero, (limits.min, limits.max))


def _files(source: Source, layer: Layer, values: Values, outputs: Outputs, folder: Path) -> tuple[str, str]:
    """The layer as a model file; and its inputs by the names in that file, with what it should compute and does."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(letter if letter.isalnum() else "-" for letter in layer.name).strip("-")
    model, arrays = folder / f"{stem}{source.suffix}", folder / f"{stem}.npz"
    fed = source.write_part(model, [layer.output], set(layer.inputs), values)
    content: dict[str, Any] = {name: values[tensor] for name, tensor in fed.items()}
    content |= {"expected": outputs.source[0][layer.output]}
    content |= {"relay": outputs.relay[0][layer.output], "library": outputs.library[0][layer.output]}
    np.savez_compressed(arrays, **content)
    return str(model), str(arrays)
