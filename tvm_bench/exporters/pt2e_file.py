"""Files of a module that PT2E has quantized: an exported program, and an ONNX file of QDQ pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.fx import GraphModule, Node

from ..compression import pt2e
from ..host.files import replace_with
from ..spec.tensors import TensorSpec
from . import onnx_file, onnx_integers, program_file

pairs = torch.ops.quantized_decomposed


def save_program(module: GraphModule, path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Write `module` as an exported program for `inputs`."""
    program_file.save(pt2e.exported(module, inputs), path)


def load_program(path: Path) -> nn.Module:
    """The module in an exported program."""
    import torch.ao.quantization.fx._decomposed  # defines the operators of the program

    return torch.export.load(path).module()


def save_onnx(module: GraphModule, path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Write `module` as an ONNX file of QDQ pairs, with INT8 weights and INT32 biases."""
    with replace_with(path) as temporary:
        onnx_file.save_from_module(with_fake_quantization(module), temporary, inputs)
        model = onnx.load(temporary)
        onnx_integers.store_integers(model.graph)
        onnx.save(model, temporary)


class FakeQuantize(nn.Module):
    """Rounds a tensor to the steps of a quantization, whose limits are `low` and `high`."""

    def __init__(self, scale: float, zero: int, low: int, high: int):
        super().__init__()
        self.scale, self.zero, self.low, self.high = scale, zero, low, high

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The rounded values."""
        return torch.fake_quantize_per_tensor_affine(values, self.scale, self.zero, self.low, self.high)


def with_fake_quantization(module: GraphModule) -> GraphModule:
    """Replace each pair of quantize and dequantize by one fake quantization, which the ONNX exporter knows."""
    graph = module.graph
    for node in list(graph.nodes):
        if node.target is pairs.quantize_per_tensor.default:
            data, scale, zero, low, high, _ = node.args
            module.add_submodule(node.name, FakeQuantize(scale, zero, low, high))
            with graph.inserting_before(node):
                fake = graph.call_module(node.name, (data,))
            for user in list(node.users):
                user.replace_all_uses_with(fake)
                graph.erase_node(user)
            graph.erase_node(node)
        elif node.target is pairs.dequantize_per_channel.default:
            _fake_quantize_weight(module, node)
    graph.eliminate_dead_code()
    return GraphModule(module, graph)  # without torchao's `train` and `eval`, which refuse to be called


def _fake_quantize_weight(module: GraphModule, node: Node) -> None:
    *sources, axis, low, high, _ = node.args
    integers, scales, zeros = (getattr(module, str(source.target)) for source in sources)  # type: ignore[union-attr]
    values = pairs.dequantize_per_channel(integers, scales, zeros, axis, low, high, torch.int8)
    with module.graph.inserting_before(node):
        tensors = []
        for part, value in (("values", values), ("scales", scales.float()), ("zeros", zeros.int())):
            module.register_buffer(f"{node.name}_{part}", value)
            tensors.append(module.graph.get_attr(f"{node.name}_{part}"))
        arguments = (*tensors, axis, low, high)
        fake = module.graph.call_function(torch.fake_quantize_per_channel_affine, arguments)
    node.replace_all_uses_with(fake)
    module.graph.erase_node(node)
