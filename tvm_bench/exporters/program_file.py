"""Exported programs, `.pt2`: what `torch.export` makes of a module."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..host.files import replace_with
from ..models.tensors import flat_outputs, zeros
from ..spec.errors import UserError, first_line
from ..spec.tensors import TensorSpec
from .torchscript import plain_attention

aten = torch.ops.aten


def save_from_module(module: nn.Module, path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Export `module` for exactly these `inputs`; batch norms are folded. Nested outputs become a tuple.

    Raises `UserError` for a module whose graph depends on values.
    """
    with warnings.catch_warnings(), torch.no_grad(), flat_outputs(module), plain_attention():
        warnings.simplefilter("ignore")  # deprecation notices of torch's own modules
        try:
            graph = torch.export.export(module.eval(), zeros(inputs)).module()
        except Exception as error:  # torch.export raises errors of many kinds, those of the module included
            first = first_line(error)
            raise UserError(
                f"{type(module).__name__} cannot be exported by torch.export: {first}. Give --frontend onnx, or "
                "other --backends."
            ) from error
    with torch.no_grad():
        save(torch.export.export(with_folded_batch_norms(graph), zeros(inputs)), path)


def save(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write `program` to `path`."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    with replace_with(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def with_folded_batch_norms(module: GraphModule) -> GraphModule:
    """The graph without the batch norms of convolutions, whose weights and biases are scaled instead."""
    for norm in module.graph.find_nodes(op="call_function", target=aten.batch_norm.default):
        arguments: Any = norm.args
        conv, *parameters, training, _, epsilon, _ = arguments
        stored = conv.target is aten.conv2d.default and conv.args[1].op == "get_attr"  # no weight that is computed
        if stored and len(conv.users) == 1 and not training:
            _fold(module, conv, norm, [_tensor(module, node) for node in parameters], epsilon)
    module.graph.eliminate_dead_code()
    return GraphModule(module, module.graph)


def _fold(module: GraphModule, conv: Node, norm: Node, parameters: list[Any], epsilon: float) -> None:
    arguments: Any = conv.args
    data, weight, *others = arguments
    scale, shift, mean, variance = parameters
    bias = _tensor(module, others[0]) if others else None
    folded = fuse_conv_bn_weights(_tensor(module, weight), bias, mean, variance, epsilon, scale, shift)
    nodes = []
    for part, value in zip(("weight", "bias"), folded, strict=True):
        module.register_parameter(f"{conv.name}_{part}", value)
        with module.graph.inserting_before(conv):
            nodes.append(module.graph.get_attr(f"{conv.name}_{part}"))
    conv.args = (data, *nodes, *others[1:])
    norm.replace_all_uses_with(conv)


def _tensor(module: GraphModule, node: Node | None) -> Any:
    """The weight or buffer that a node of the graph is; None without one."""
    if node is None:
        return None
    value: Any = module
    for name in str(node.target).split("."):
        value = getattr(value, name)
    return value
