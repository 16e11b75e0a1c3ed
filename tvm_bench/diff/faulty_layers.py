"""From wrong layers to faults: the kind of each, and the smallest part that shows it, as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        pair = (outputs.relay, outputs.source) if stage == IMPORT else (outputs.library, outputs.relay)
        kind = kind_of(sample_of(layer, *pair, _real(source, layer, inputs)))
        pattern = (row.operators, stage, kind.name)
        files = () if pattern in seen else files_of(source, layer, values[0], _content(layer, outputs), folder)
        seen.add(pattern)
        alone = diff(layer, outputs).wrong
        results.append(Fault(row.name, row.operators, stage, kind.name, kind.evidence, alone, files))
    return results


def _real(source: Source, layer: Layer, inputs: list[Values]) -> np.ndarray | None:
    """What the source quantizes to the output, for all images together."""
    if not layer.real:
        return None
    return np.concatenate([source.record(image, [layer.real])[layer.real] for image in inputs])


def _content(layer: Layer, outputs: Outputs) -> Values:
    """What the layer should compute for the first image, and what it does."""
    by_name = {"expected": outputs.source, "relay": outputs.relay, "library": outputs.library}
    return {name: images[0][layer.output] for name, images in by_name.items()}


def sample_of(layer: Layer, ours: Sequence[Values], theirs: Sequence[Values], real: np.ndarray | None = None) -> Sample:
    """The outputs of all images together; `real` are those of the source before it quantizes them (None: unknown)."""
    values, right = (np.concatenate([image[layer.output] for image in images]) for images in (ours, theirs))
    if not layer.quantization:
        span = float(np.ptp(right)) or 1.0
        return Sample(values.astype(np.float64) / span, right.astype(np.float64) / span)
    scale, zero = layer.quantization.along(right.ndim)
    limits = np.iinfo(layer.quantization.dtype)
    if real is not None:
        real = real.astype(np.float64) / scale + zero
    values, right = (layer.quantization.steps(array).astype(np.float64) for array in (values, right))
    return Sample(values, right, real, zero, (limits.min, limits.max))


def files_of(source: Source, layer: Layer, values: Values, content: Values, folder: Path) -> tuple[str, str]:
    """The layer as a model file; and its inputs by the names in that file, with the `content`, other arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(letter if letter.isalnum() else "-" for letter in layer.name).strip("-")
    model, arrays = folder / f"{stem}{source.suffix}", folder / f"{stem}.npz"
    fed = source.write_part(model, [layer.output], set(layer.inputs), values)
    arrays_by_name: dict[str, Any] = {name: values[tensor] for name, tensor in fed.items()} | content
    np.savez_compressed(arrays, **arrays_by_name)
    return str(model), str(arrays)
