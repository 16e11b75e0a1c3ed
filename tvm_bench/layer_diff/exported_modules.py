"""Which tensors of an exported ONNX file are the outputs of which modules, by the names that the exporter writes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.utils._pytree import tree_leaves

from ..exporters.module_call import call
from ..exporters.pt2e_file import FakeQuantize
from .layer import Quantization
from .onnx_layers import Graph
from .severed_torch import quantization_of

Path = tuple[str, ...]
Mark = tuple[int, int]  # of a tensor at a time: its identity, and how often it was changed in place


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a leaf module, one that calls no other.

    `name` is that of the module; `path` are the names of the modules around it and its own, as in the file. `input` and
    `output` are copies (None: it has several), `read` and `made` the marks of its first input and of its first output.
    """

    name: str
    path: Path
    module: nn.Module
    input: torch.Tensor | None
    output: torch.Tensor | None
    read: Mark | None
    made: Mark | None


@dataclass(frozen=True)
class Value:
    """A tensor that PyTorch computes. `maker` is the name of the module whose output it is (None: no module's)."""

    array: np.ndarray
    quantization: Quantization | None
    maker: str | None = None


def calls_of(module: nn.Module, inputs: Iterable[torch.Tensor]) -> tuple[list[Call], tuple[torch.Tensor, ...]]:
    """Run `module`. Returns the calls of its leaf modules in order, and its outputs."""
    names = {child: name for name, child in module.named_modules()}
    calls: list[Call] = []
    around: list[str] = []  # the names of the modules that are running
    starts: list[tuple[int, torch.Tensor | None, Mark | None]] = []  # of each: how many ran before, and what it reads
    alive: list[Any] = []  # so that no tensor gets the identity of another

    def before(child: nn.Module, arguments: Any) -> None:
        alive.append(arguments)
        around.append(names.get(child, ""))
        starts.append((len(alive), _only(arguments), _mark(arguments)))

    def after(child: nn.Module, _: Any, result: Any) -> None:
        path, name = _path(around[1:]), around.pop()
        count, tensor, read = starts.pop()
        if count == len(alive):  # it called no other
            calls.append(Call(name, path, child, tensor, _only(result), read, _mark(result)))
        alive.append(result)

    handles = [hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after)]
    try:
        with torch.no_grad():  # `inference_mode` does not count changes in place
            outputs = call(module, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls, outputs


def values_of(calls: Iterable[Call], graph: Graph, weights: set[str]) -> dict[str, Value]:
    """The values of the tensors of `graph` that are inputs or outputs of `calls`.

    `weights` are the names of the module's parameters. The exporter names a node after the modules around it, and
    numbers names that it has already written. So calls with the same names are told apart by their order. Where the
    file has more or fewer of them, because the exporter removed or merged some, they are left out: they are parts of
    the layers after them.
    """
    working = [row for row in calls if row.made is None or row.made != row.read]  # not dropout, which does nothing
    rows, groups = defaultdict(list), _groups(graph)
    for row in working:
        rows[row.path].append(row)
    pairs = [
        pair
        for path, same in rows.items()
        if len(same) == len(groups[path])
        for pair in zip(same, groups[path], strict=True)
    ]
    makers = {_leaving(nodes, graph): row for row, nodes in pairs}
    for name in _folded(graph, weights) & makers.keys():
        convolution = makers.pop(name)
        norms = [row for row in working if row.read == convolution.made and not groups[row.path]]
        if norms:
            makers[name] = replace(norms[0], name=convolution.name)
    # Not the inputs of fake quantization: a convolution and its rounding are one layer, which has errors in steps.
    readers = [(row, nodes) for row, nodes in pairs if not isinstance(row.module, FakeQuantize)]
    read = {_entering(nodes, row, graph): value_of(row.input) for row, nodes in readers if row.input is not None}
    made = {name: value_of(row.output, row) for name, row in makers.items() if row.output is not None}
    return {name: value for name, value in {**read, **made}.items() if name}


def value_of(tensor: torch.Tensor, maker: Call | None = None) -> Value:
    """The value of a tensor, with its quantization by PyTorch: that of the file may be wrong."""
    if tensor.is_quantized:
        return Value(tensor.int_repr().numpy(), quantization_of(tensor), maker.name if maker else None)
    if maker and isinstance(maker.module, FakeQuantize):
        scale, zero = np.asarray(maker.module.scale), np.asarray(maker.module.zero)
        return Value(tensor.numpy(), Quantization(scale, zero))  # its own name tells nothing
    return Value(tensor.numpy(), None, maker.name if maker else None)


def _groups(graph: Graph) -> dict[Path, list[list[onnx.NodeProto]]]:
    """The nodes of each call, by the names of the modules around them, in the order of the file."""
    scopes = defaultdict(list)
    for node in graph.nodes:
        if not set(node.output) <= graph.constants:
            scopes[node.name.rpartition("/")[0]].append(node)
    groups = defaultdict(list)
    for scope, nodes in scopes.items():
        groups[_path(scope.split("/")[1:])].append(nodes)
    return groups


def _path(names: Iterable[str]) -> Path:
    """Only the last part of each name, which the exporter always writes, and without numbers that it may add."""
    return tuple(re.sub(r"(_\d+)+$", "", name.rpartition(".")[2]) for name in names)


def _leaving(nodes: list[onnx.NodeProto], graph: Graph) -> str | None:
    """The only tensor that other nodes read, or that is an output of the model."""
    inside = {node.name for node in nodes}
    outputs = {value.name for value in graph.model.graph.output}
    made = [name for node in nodes for name in node.output]
    names = [n for n in made if n in outputs or any(reader.name not in inside for reader in graph.consumers[n])]
    return names[0] if len(names) == 1 else None


def _entering(nodes: list[onnx.NodeProto], call: Call, graph: Graph) -> str | None:
    """The only tensor that the nodes read of others, if its shape is that of the input of the `call`.

    If not, the exporter merged the nodes with some of a module before, such as one transposition with another.
    """
    made = {name for node in nodes for name in node.output}
    names = {name for node in nodes for name in node.input if name} - made - graph.constants
    name = names.pop() if len(names) == 1 else ""
    return name if call.input is not None and graph.shapes.get(name) == tuple(call.input.shape) else None


def _folded(graph: Graph, weights: set[str]) -> set[str]:
    """The outputs of convolutions with a folded batch norm: the exporter renames their weights."""
    convolutions = (node for node in graph.nodes if node.op_type == "Conv")
    return {n.output[0] for n in convolutions if n.input[1] in graph.initializers and n.input[1] not in weights}


def _only(values: Any) -> torch.Tensor | None:
    """A copy of the only tensor among the `values`, if it has real numbers."""
    tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]
    real = len(tensors) == 1 and (tensors[0].is_floating_point() or tensors[0].is_quantized)
    return tensors[0].clone() if real else None


def _mark(values: Any) -> Mark | None:
    tensor = next((leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)), None)
    return None if tensor is None else (id(tensor), tensor._version)
