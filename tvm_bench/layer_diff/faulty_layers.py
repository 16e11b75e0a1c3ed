"""From wrong layers to faults: the kind of each, and the smallest part that shows it, as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..spec.layer_errors import Fault, LayerErrors
from .comparison import IMPORT, KERNEL, diff, run_part
from .faults import Sample, kind_of
from .layer import Compiler, Layer, Source, Values

COMPILE = "compile error"  # the kind of fault of a layer without values


def faults(
    source: Source, rows: Iterable[LayerErrors], inputs: list[Values], compiler: Compiler, folder: Path
) -> list[Fault]:
    """A fault for each wrong layer in `rows` (of all layers), with files in `folder` for the first of each pattern."""
    results = []
    for row, layer in zip(rows, source.layers, strict=True):
        if not row.wrong:
            continue
        values = [source.record(image, [*layer.inputs, layer.output]) for image in inputs]
        if row.failure:
            fault = Fault(row.name, row.operators, row.failure.stage, COMPILE, row.failure.reason, alone=True)
            worst, content = 0, {"expected": values[0][layer.output]}
        else:
            fault, worst, content = _fault(source, layer, row, values, inputs, compiler)
        results.append((layer, fault, values[worst], content))
    return with_files(source, results, folder)


def with_files(source: Source, rows: Iterable[tuple[Layer, Fault, Values, Values]], folder: Path) -> list[Fault]:
    """The faults in `rows`, each with its layer, the values of its inputs, and other arrays to write.

    The first of each pattern gets two files: its layer as a model, and the arrays, inputs by their names in the model.
    """
    seen: set[tuple] = set()
    results = []
    for layer, fault, values, content in rows:
        pattern = (fault.operators, fault.stage, fault.kind)
        files = () if pattern in seen else _files(source, layer, values, content, folder)
        seen.add(pattern)
        results.append(replace(fault, files=files))
    return results


def _fault(
    source: Source,
    layer: Layer,
    row: LayerErrors,
    values: list[Values],
    inputs: list[Values],
    compiler: Compiler,
) -> tuple[Fault, int, Values]:
    """The fault of a layer that computes wrong values, its worst image, and what it should compute there, and does."""
    outputs = run_part(source, [layer.output], set(layer.inputs), values, compiler)
    alone = diff(layer, outputs)
    stage = IMPORT if (alone if alone.wrong else row).relay.wrong else KERNEL
    pair = (outputs.relay, outputs.source) if stage == IMPORT else (outputs.library, outputs.relay)
    kind = kind_of(sample_of(layer, *pair, _real(source, layer, inputs)))
    arrays = {"expected": outputs.source, "relay": outputs.relay, "library": outputs.library}
    fault = Fault(row.name, row.operators, stage, kind.name, kind.evidence, alone.wrong)
    images = zip(*pair, strict=True)
    differences = [np.abs(ours[layer.output] - right[layer.output].astype(float)).max() for ours, right in images]
    worst = int(np.argmax(differences))  # which takes NaN for the largest
    return fault, worst, {name: computed[worst][layer.output] for name, computed in arrays.items()}


def _real(source: Source, layer: Layer, inputs: list[Values]) -> np.ndarray | None:
    """What the source quantizes to the output, for all images together."""
    if not layer.real:
        return None
    return np.concatenate([source.record(image, [layer.real])[layer.real] for image in inputs])


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


def _files(source: Source, layer: Layer, values: Values, content: Values, folder: Path) -> tuple[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(letter if letter.isalnum() else "-" for letter in layer.name).strip("-")
    model, arrays = folder / f"{stem}{source.suffix}", folder / f"{stem}.npz"
    fed = source.write_part(model, [layer.output], set(layer.inputs), values)
    by_name: dict[str, Any] = {name: values[tensor] for name, tensor in fed.items()} | content
    np.savez_compressed(arrays, **by_name)
    return str(model), str(arrays)
