"""A traced PyTorch module cut between its layers: every layer is fed with what the source module computed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..backends.relay import torch_quantized
from ..host import cpu
from ..spec.tensors import TensorSpec
from .exact_convolution import OPERATORS, convolution
from .layer import Layer, Quantization, Values
from .torch_graph import ENGINE, QUANTIZED, Operation, TorchGraph

# PyTorch adds the zero point after the rounding to an average of channels-last data, and before it to others: if the
# zero point is odd, averages halfway between two steps are rounded in other directions. The library does the latter.
AVERAGE = "aten::avg_pool2d"
# Part of the layer before it, if nothing else reads that layer's output.
FOLLOWERS = ("batch_norm", "relu", "relu6", "hardtanh", "silu", "hardswish", "hardsigmoid", "sigmoid", "leaky_relu")


@dataclass(frozen=True)
class TorchSource:
    """A traced module as the source of a comparison. Quantized values are floats on the grid of their scale.

    `tensors` has the quantization (None: float) of each value by name, but for integers, such as sizes.
    """

    path: Path
    graph: TorchGraph
    tensors: dict[str, Quantization | None]
    suffix = ".pt"

    @classmethod
    def of(cls, path: Path, inputs: Sequence[TensorSpec]) -> TorchSource:
        """The module in a file, for `inputs` of these shapes."""
        graph = TorchGraph(path)
        zeros = {
            name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype))
            for name, spec in zip(graph.inputs, inputs, strict=True)
        }
        with torch.inference_mode():
            values = graph.run(zeros, [name for operation in graph.live for name in operation.outputs])
        floats = {
            name: quantization_of(value)
            for name, value in values.items()
            if isinstance(value, torch.Tensor) and (value.is_floating_point() or value.dtype in QUANTIZED)
        }
        return cls(path, graph, floats)

    @property
    def inputs(self) -> list[str]:
        """The names of its inputs."""
        return self.graph.inputs

    @cached_property
    def layers(self) -> list[Layer]:
        """Its layers in execution order."""
        readers: dict[str, list[Operation]] = {}
        for operation in self.graph.live:
            for name in operation.inputs:
                readers.setdefault(name, []).append(operation)
        made = [name for operation in self.graph.live for name in operation.outputs if name in self.tensors]
        outputs = [name for name in made if not self._goes_on(name, readers.get(name, []))]
        boundaries = {*outputs, *self.inputs}
        return [self._layer(name, boundaries) for name in outputs]

    def record(self, inputs: Values, names: Iterable[str] | None = None) -> Values:
        """The values of the tensors `names` (None: of all outputs of layers), and the inputs."""
        names = [layer.output for layer in self.layers] if names is None else list(names)
        with torch.inference_mode():
            values = self.graph.run({name: torch.from_numpy(array) for name, array in inputs.items()}, names)
        return {**inputs, **{name: _array(values[name]) for name in names}}

    def write_part(self, path: Path, outputs: list[str], cuts: set[str], values: Values) -> dict[str, str]:
        """Write the part that computes `outputs` from `cuts`. Returns the tensor for each of its inputs."""
        part = Part(self.graph, self.tensors, outputs, cuts | set(self.inputs))
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # deprecation of torch.jit
            tensors = tuple(torch.from_numpy(values[name]) for name in part.fed)
            torch.jit.save(torch.jit.trace(part, tensors, check_trace=False), str(path))
        return {f"fed{number}": name for number, name in enumerate(part.fed)}

    def exact(self, layer: Layer, values: Values) -> np.ndarray | None:
        """The output of a quantized convolution by exact sums, or of an average pooling of contiguous data.

        It is computed from recorded `values`. None for any other layer.
        """
        operation = self.graph.producers[layer.output]
        if operation.kind not in (*OPERATORS, AVERAGE) or len(layer.operators) > 1:
            return None
        data, *parameters = operation.inputs
        tensor = _quantized(torch.from_numpy(values[data]), self.tensors[data]).contiguous()
        if operation.kind == AVERAGE:
            return _array(operation.evaluated({**self.graph.constants, data: tensor})[layer.output])
        return _array(convolution(operation.kind, tensor, *(self.graph.constants[name] for name in parameters)))

    def run(self, inputs: list[Values]) -> list[np.ndarray]:
        """The first output for each of the `inputs`."""
        return _outputs(self.graph.traced, self.inputs, inputs)

    def run_otherwise(self, inputs: list[Values]) -> list[np.ndarray]:
        """The same by another engine, which rounds in another order, with PyTorch's float operators between.

        The x86 engine gives most convolutions to oneDNN, and to FBGEMM on a CPU without VNNI. Relay gets quantized
        operators such as layer norm as a dequantization, the float operator and a quantization, which PyTorch can run
        too.
        """
        torch.backends.quantized.engine = "fbgemm" if cpu.has_vnni() else "onednn"
        try:
            traced = torch.jit.load(str(self.path)).eval()
            torch_quantized.rewrite(traced, limits=False)
            return _outputs(traced, self.inputs, inputs)
        finally:
            torch.backends.quantized.engine = ENGINE

    def _goes_on(self, name: str, readers: list[Operation]) -> bool:
        """Whether the layer of the value goes on with the next operator."""
        if len(readers) != 1 or name in self.graph.outputs or self.tensors[name]:
            return False
        follower, producer = readers[0].short, self.graph.producers[name].short
        return follower in FOLLOWERS and (follower == "batch_norm" or producer not in FOLLOWERS[1:])

    def _layer(self, output: str, boundaries: set[str]) -> Layer:
        everything = self.graph.between([output], boundaries - {output})
        operations = [operation for operation in everything if self.tensors.keys() & set(operation.outputs)]
        made = {name for operation in everything for name in operation.outputs}
        read = [name for operation in everything for name in operation.inputs]
        first = operations[0]
        scope = first.scope.rpartition("/")[2].removeprefix("__module.")
        return Layer(
            name=f"{scope}/{first.short}" if scope else f"{first.short}/{output}",
            operators=tuple(operation.short for operation in operations),
            inputs=tuple(dict.fromkeys(name for name in read if name in boundaries and name not in made)),
            output=output,
            quantization=self.tensors[output],
        )


class Part(nn.Module):
    """The part of a graph that computes `outputs` from the values `fed`.

    All of these are floats; those of quantized values are on the grid of their scale.
    """

    def __init__(self, graph: TorchGraph, tensors: dict[str, Quantization | None], outputs: list[str], cuts: set[str]):
        super().__init__()
        self.source, self.tensors, self.outputs = graph, tensors, outputs
        parts = [graph.between([name], cuts - {name}) for name in outputs]
        self.operations = list({operation.outputs: operation for part in parts for operation in part}.values())
        order = {operation.outputs: number for number, operation in enumerate(graph.live)}
        self.operations.sort(key=lambda operation: order[operation.outputs])
        read = {name for operation in self.operations for name in operation.inputs}
        self.fed = [name for name in (*graph.inputs, *tensors) if name in cuts and name in read]
        self.weight_names = {name: f"weight{number}" for number, name in enumerate(graph.weights) if name in read}
        for name, attribute in self.weight_names.items():
            setattr(self, attribute, _holder(graph.weights[name]))
        # Relay has no quantized constants, such as those of a bias table: they are quantized from floats.
        constants = {name: graph.constants[name] for name in read & graph.constants.keys()}
        quantized = {name: value for name, value in constants.items() if _is_quantized(value)}
        self.quantized = {name: (f"constant{i}", quantization_of(quantized[name])) for i, name in enumerate(quantized)}
        for name, (attribute, _) in self.quantized.items():
            setattr(self, attribute, _holder(quantized[name].dequantize()))

    def forward(self, *fed: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The values of the outputs."""
        values = {name: _held(getattr(self, attribute)) for name, attribute in self.weight_names.items()}
        for name, (attribute, quantization) in self.quantized.items():
            values[name] = _quantized(getattr(self, attribute), quantization)
        for name, tensor in zip(self.fed, fed, strict=True):
            values[name] = _quantized(tensor, self.tensors.get(name))
        results = self.source.run(values, self.outputs, self.operations)
        return tuple(_dequantized(results[name]) for name in self.outputs)


class ConvPackedParams(nn.Module):
    """Holds packed parameters: TVM finds those of modules with such names."""

    def __init__(self, packed: torch.ScriptObject):
        super().__init__()
        self._packed_params = packed


class LinearPackedParams(ConvPackedParams):
    """The same for linear layers."""


def _holder(value: Any) -> nn.Module | nn.Parameter:
    if isinstance(value, torch.Tensor):
        return nn.Parameter(value.clone(), requires_grad=False)
    return (LinearPackedParams if "Linear" in value._type().name() else ConvPackedParams)(value)


def _held(holder: nn.Module | nn.Parameter) -> Any:
    return holder._packed_params if isinstance(holder, nn.Module) else holder


def _outputs(module: torch.jit.ScriptModule, names: list[str], inputs: list[Values]) -> list[np.ndarray]:
    with torch.inference_mode():
        results = [module(*(torch.from_numpy(image[name]) for name in names)) for image in inputs]
    return [(result[0] if isinstance(result, tuple) else result).numpy() for result in results]


def quantization_of(value: torch.Tensor) -> Quantization | None:
    """The scale and the zero point of a quantized tensor; None for others."""
    if value.dtype not in QUANTIZED:
        return None
    scale, zero = np.float64(value.q_scale()), np.int64(value.q_zero_point())
    return Quantization(np.asarray(scale), np.asarray(zero), dtype="uint8" if value.dtype == torch.quint8 else "int8")


def _quantized(value: torch.Tensor, quantization: Quantization | None) -> torch.Tensor:
    if not quantization:
        return value
    dtype = torch.quint8 if quantization.dtype == "uint8" else torch.qint8
    return torch.quantize_per_tensor(value, float(quantization.scale), int(quantization.zero), dtype)


def _is_quantized(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_quantized and value.qscheme() == torch.per_tensor_affine


def _dequantized(value: torch.Tensor) -> torch.Tensor:
    return value.dequantize() if value.is_quantized else value


def _array(value: torch.Tensor) -> np.ndarray:
    return _dequantized(value).numpy()
