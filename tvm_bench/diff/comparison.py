"""Runs all layers of a source model, as compiled, on what the source itself computed, and compares them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm

from ..spec.layer_errors import Errors, LayerErrors
from ..spec.tensors import TensorSpec
from . import builds
from .layer import Layer, Source, Values
from .numbers import errors, worst

Note = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """What a part computes for each image: by the source, by Relay before fusion, and by the library."""

    source: list[Values]
    relay: list[Values]
    library: list[Values]


def compared(source: Source, inputs: list[Values], target: tvm.target.Target, note: Note) -> list[LayerErrors]:
    """Compare all layers on all `inputs`, one dictionary for each image."""
    note("the source model, layer by layer")
    values = [source.record(image) for image in inputs]
    names = [layer.output for layer in source.layers]
    outputs = run_part(source, names, set(names), values, target, note)
    return [diff(layer, outputs) for layer in source.layers]


def run_part(
    source: Source,
    outputs: list[str],
    cuts: set[str],
    values: list[Values],
    target: tvm.target.Target,
    note: Note = lambda _: None,
) -> Outputs:
    """Compile the part that computes `outputs` from `cuts`, and run it on the recorded `values` of each image."""
    note("import and lowering")
    module, feeds = _module(source, outputs, cuts, values, target)
    note("Relay before fusion")
    relay = _answers(builds.unfused(module), feeds, outputs)
    note("the library")
    library = _answers(builds.by_project(module, target).library, feeds, outputs)
    return Outputs([{name: image[name] for name in outputs} for image in values], relay, library)


def diff(layer: Layer, outputs: Outputs) -> LayerErrors:
    """The errors of a `layer` in the `outputs` of a part that it belongs to."""
    relay = worst_errors(layer, outputs.relay, outputs.source)
    kernel = worst_errors(layer, outputs.library, outputs.relay)
    library = worst_errors(layer, outputs.library, outputs.source)
    return LayerErrors(layer.name, layer.operators, relay, kernel, library)


def worst_errors(layer: Layer, values: Sequence[Values], source: Sequence[Values]) -> Errors:
    """The errors of the `values` of a `layer` against those of its `source`, over all images."""
    return worst([_errors(layer, a[layer.output], b[layer.output]) for a, b in zip(values, source, strict=True)])


def accumulated(source: Source, inputs: list[Values], target: tvm.target.Target) -> list[Errors]:
    """The errors of the whole compiled model, not severed, at the output of each layer."""
    values = [source.record(image) for image in inputs]
    names = [layer.output for layer in source.layers]
    module, feeds = _module(source, names, set(), values, target)
    library = _answers(builds.by_project(module, target).library, feeds, names)
    outputs = Outputs(values, library, library)
    return [diff(layer, outputs).library for layer in source.layers]


def _module(
    source: Source, outputs: list[str], cuts: set[str], values: list[Values], target: tvm.target.Target
) -> tuple[tvm.IRModule, list[Values]]:
    """The lowered part of the model that computes `outputs` from `cuts`, and its inputs for each image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"part{source.suffix}")
        fed = source.write_part(path, outputs, cuts, values[0])
        arrays = {name: values[0][tensor] for name, tensor in fed.items()}
        specs = [TensorSpec(name, array.shape, str(array.dtype)) for name, array in arrays.items()]
        module = builds.lowered(path, specs, target)
    return module, [{name: image[tensor] for name, tensor in fed.items()} for image in values]


def _answers(library: tvm.runtime.Module, feeds: list[Values], outputs: list[str]) -> list[Values]:
    run = builds.runner(library)
    return [dict(zip(outputs, run(feed), strict=True)) for feed in feeds]


def _errors(layer: Layer, values: np.ndarray, source: np.ndarray) -> Errors:
    if not layer.quantization:
        return errors(values, source)
    quantization = layer.quantization
    zero = quantization.along(source.ndim)[1]
    return errors(quantization.steps(values), quantization.steps(source), zero=zero)
