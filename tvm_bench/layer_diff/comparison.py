"""Runs all layers of a source model, as compiled, on what the source itself computed, and compares them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..spec.errors import UserError
from ..spec.layer_errors import INFINITE, Errors, Failure, LayerErrors
from ..spec.tensors import TensorSpec
from .layer import Compiler, Layer, Run, Source, Values
from .numbers import errors, worst

Note = Callable[[str], None]
# The stages of a build.
IMPORT, RELAY, KERNEL = "import and lowering", "Relay before fusion", "schedules and kernels"
PART = "part"  # the file name of a part


@dataclass(frozen=True)
class Outputs:
    """What a part computes for each image: by the source, by TVM before fusion, and by the library."""

    source: list[Values]
    relay: list[Values]
    library: list[Values]

    def joined(self, other: Outputs) -> Outputs:
        """The outputs of both parts."""
        pairs = ((self.source, other.source), (self.relay, other.relay), (self.library, other.library))
        return Outputs(*([a | b for a, b in zip(*pair, strict=True)] for pair in pairs))


def compared(
    source: Source, inputs: list[Values], compiler: Compiler, note: Note, *, unfused: bool = True
) -> list[LayerErrors]:
    """Compare all layers on all `inputs`, one dictionary for each image. Those that do not compile have a `failure`.

    Without `unfused`, Relay before fusion is not run, which takes a third of the time: the errors `relay` are those of
    the library.
    """
    note("the source model, layer by layer")
    values = [source.record(image) for image in inputs]
    outputs, failures = _run_layers(source, source.layers, values, compiler, note, unfused)
    return [
        LayerErrors(layer.name, layer.operators, INFINITE, INFINITE, INFINITE, failure=failures[layer.output])
        if layer.output in failures
        else _exact_where_source_inexact(source, layer, diff(layer, outputs), outputs, values)
        for layer in source.layers
    ]


def _run_layers(
    source: Source, layers: list[Layer], values: list[Values], compiler: Compiler, note: Note, unfused: bool
) -> tuple[Outputs, dict[str, Failure]]:
    """Run severed `layers`. If they do not compile, run halves of them, down to those that fail, by their outputs."""
    stages: list[str] = []

    def entered(stage: str) -> None:
        stages.append(stage)
        note(stage)

    names, cuts = [layer.output for layer in layers], {layer.output for layer in source.layers}
    try:
        return run_part(source, names, cuts, values, compiler, entered, unfused=unfused), {}
    except Exception as error:  # of any kind: front ends, passes and schedules raise what they like
        if len(layers) == 1:
            nothing: list[Values] = [{} for _ in values]
            return Outputs(nothing, nothing, nothing), {names[0]: Failure(stages[-1], _reason(error, source.suffix))}
    note("the layers that do not compile")
    middle = len(layers) // 2
    (first, failures), (second, others) = (
        _run_layers(source, half, values, compiler, lambda _: None, unfused)
        for half in (layers[:middle], layers[middle:])
    )
    return first.joined(second), {**failures, **others}


def _reason(error: Exception, suffix: str) -> str:
    """The line that tells most: TVM's messages are stack traces, which end with the reason."""
    lines = str(error).strip().splitlines() or [""]
    line = (lines[-1] if "Traceback" in lines[0] else lines[0]).strip().removesuffix(".")
    if isinstance(error, UserError):
        return line.removeprefix(f"{PART}{suffix}: ")
    name = type(error).__name__
    return f"{name}: {line.removeprefix(f'{name}: ')}"


def run_part(
    source: Source,
    outputs: list[str],
    cuts: set[str],
    values: list[Values],
    compiler: Compiler,
    note: Note = lambda _: None,
    *,
    unfused: bool = True,
) -> Outputs:
    """Compile the part that computes `outputs` from `cuts`, and run it on the recorded `values` of each image.

    Without `unfused`, the outputs `relay` are those of the library.
    """
    note(IMPORT)
    module, feeds = _module(source, outputs, cuts, values, compiler)
    relay = None
    if unfused:
        note(RELAY)
        relay = _answers(compiler.unfused(module), feeds, outputs)
    note(KERNEL)
    library = _answers(compiler.library(module), feeds, outputs)
    relay = relay or library
    return Outputs([{name: image[name] for name in outputs} for image in values], relay, library)


def diff(layer: Layer, outputs: Outputs) -> LayerErrors:
    """The errors of a `layer` in the `outputs` of a part that it belongs to."""
    relay = worst_errors(layer, outputs.relay, outputs.source)
    kernel = worst_errors(layer, outputs.library, outputs.relay)
    library = worst_errors(layer, outputs.library, outputs.source)
    return LayerErrors(layer.name, layer.operators, relay, kernel, library)


def _exact_where_source_inexact(
    source: Source, layer: Layer, row: LayerErrors, outputs: Outputs, values: list[Values]
) -> LayerErrors:
    """The errors of a layer. They are none of the library if it gives the exact values, and the source does not."""
    if not row.wrong:
        return row
    exact = [source.exact(layer, image) for image in values]
    right = [{layer.output: array} for array in exact if array is not None]
    inexact = len(right) == len(values) and not diff(layer, replace(outputs, source=right)).wrong
    return replace(row, source_inexact=inexact)


def worst_errors(layer: Layer, values: Sequence[Values], source: Sequence[Values]) -> Errors:
    """The errors of the `values` of a `layer` against those of its `source`, over all images."""
    return worst([_errors(layer, a[layer.output], b[layer.output]) for a, b in zip(values, source, strict=True)])


def accumulated(
    source: Source, rows: Sequence[LayerErrors], inputs: list[Values], compiler: Compiler
) -> list[LayerErrors]:
    """The `rows` with the errors of the whole model, not severed. Layers that do not compile are left out of it."""
    values = [source.record(image) for image in inputs]
    pairs = list(zip(source.layers, rows, strict=True))
    names = [layer.output for layer, row in pairs if not row.failure]
    module, feeds = _module(source, names, {layer.output for layer, row in pairs if row.failure}, values, compiler)
    library = _answers(compiler.library(module), feeds, names)
    return [
        row if row.failure else replace(row, accumulated=worst_errors(layer, library, values)) for layer, row in pairs
    ]


def _module(
    source: Source, outputs: list[str], cuts: set[str], values: list[Values], compiler: Compiler
) -> tuple[Any, list[Values]]:
    """The lowered part of the model that computes `outputs` from `cuts`, and its inputs for each image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{PART}{source.suffix}")
        fed = source.write_part(path, outputs, cuts, values[0])
        arrays = {name: values[0][tensor] for name, tensor in fed.items()}
        specs = [TensorSpec(name, array.shape, str(array.dtype)) for name, array in arrays.items()]
        module = compiler.lowered(path, specs)
    return module, [{name: image[tensor] for name, tensor in fed.items()} for image in values]


def _answers(run: Run, feeds: list[Values], outputs: list[str]) -> list[Values]:
    return [dict(zip(outputs, run(feed), strict=True)) for feed in feeds]


def _errors(layer: Layer, values: np.ndarray, source: np.ndarray) -> Errors:
    if not layer.quantization:
        return errors(values, source)
    quantization = layer.quantization
    zero = quantization.along(source.ndim)[1]
    if not np.array_equal(values, source):
        values, source = quantization.steps(values), quantization.steps(source)
    return errors(values, source, zero=zero)
