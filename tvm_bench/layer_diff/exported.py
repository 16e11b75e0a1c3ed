"""An exported ONNX file against its PyTorch module: each part of the file is fed with what the module computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from ..exporters.module_call import tensors
from ..spec.layer_errors import ExportErrors, Fault
from .comparison import worst_errors
from .exported_modules import Value, calls_of, value_of, values_of
from .faults import kind_of
from .faulty_layers import sample_of, with_files
from .layer import Layer, Values
from .onnx_layers import Graph
from .severed_onnx import OnnxSource, part, run
from .ties import TIE, shifted, without_ties

EXPORT = "export to ONNX"


def compared(
    module: nn.Module, path: Path, inputs: list[Values], folder: Path
) -> tuple[list[ExportErrors], list[Fault]]:
    """Compare the ONNX file at `path` with the `module` that it was exported from, on all `inputs`.

    The file is cut at the tensors that are known of the module: the inputs and outputs of its leaf modules, and its own
    outputs. A layer is a leaf module, or the functions between two. Wrong ones are written to `folder`.
    """
    source = OnnxSource.of(path)
    records = [_recorded(module, source.graph, image) for image in inputs]
    arrays = [{name: value.array for name, value in record.items()} for record in records]
    values = [{**image, **outputs} for image, outputs in zip(inputs, arrays, strict=True)]
    layers = list(_layers(source.graph, records[0]))
    outputs, settled = _run(source.graph, layers, values)
    rows = [ExportErrors(layer.name, layer.operators, worst_errors(layer, settled, values)) for layer in layers]
    faults = []
    for layer in (layer for layer, row in zip(layers, rows, strict=True) if row.wrong):
        kind = kind_of(sample_of(layer, settled, values))
        fault = Fault(layer.name, layer.operators, EXPORT, kind.name, kind.evidence, alone=True)
        content = {"expected": values[0][layer.output], "onnx": outputs[0][layer.output]}
        faults.append((layer, fault, values[0], content))
    return rows, with_files(source, faults, folder)


def _recorded(module: nn.Module, graph: Graph, image: Values) -> dict[str, Value]:
    """What the module computes for an image, by the names in the file."""
    calls, outputs = calls_of(module, tensors(tuple(image[name] for name in graph.inputs)))
    results = dict(zip((value.name for value in graph.model.graph.output), map(value_of, outputs), strict=True))
    results |= values_of(calls, graph, set(module.state_dict()))
    return {name: value for name, value in results.items() if name not in {*graph.constants, *graph.inputs}}


def _layers(graph: Graph, values: dict[str, Value]) -> Iterator[Layer]:
    for name in (name for node in graph.nodes for name in node.output if name in values):
        layer, value, maker = graph.layer(name, {*values, *graph.inputs}), values[name], graph.producers[name]
        quantization = value.quantization or layer.quantization
        if not quantization and maker.op_type == "DequantizeLinear":  # an output of the model
            quantization = graph.quantization(maker)
        yield replace(layer, name=value.maker or layer.name, quantization=quantization)


def _run(graph: Graph, layers: list[Layer], values: list[Values]) -> tuple[list[Values], list[Values]]:
    """The outputs of severed `layers` for each of `values` by ONNX Runtime; and the same with PyTorch's ties."""
    names = [layer.output for layer in layers]
    model, fed = part(graph, names, {*names, *graph.inputs}, values[0])
    outputs = run(model, fed, values)
    rounded = [(layer.output, layer.quantization) for layer in layers if layer.quantization]
    if not rounded:
        return outputs, outputs
    low, high = (run(shifted(model, graph, steps), fed, values) for steps in (-TIE, TIE))
    settled = [dict(image) for image in outputs]
    for image, *others in zip(settled, values, low, high, strict=True):
        for name, quantization in rounded:
            image[name] = without_ties(quantization, *(arrays[name] for arrays in (image, *others)))
    return outputs, settled
