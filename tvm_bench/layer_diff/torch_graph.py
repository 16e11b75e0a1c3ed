"""Runs the graph of a traced PyTorch module operator by operator, so that each value can be read or replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch._C import Node

ENGINE = "x86"
QUANTIZED = (torch.quint8, torch.qint8)


@dataclass(frozen=True)
class Operation:
    """A node of the graph, with the names of what it reads and makes. `scope` is the module that called it."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scope: str
    node: Node

    @cached_property
    def _schema(self) -> torch._C.FunctionSchema:
        return torch._C.parse_schema(self.node.schema())

    @property
    def positional(self) -> int:
        """How many inputs are not keywords."""
        return sum(not argument.kwarg_only for argument in self._schema.arguments)

    def _keywords(self, inputs: list[Any]) -> dict[str, Any]:
        pairs = zip(self._schema.arguments, inputs, strict=True)
        return {argument.name: value for argument, value in pairs if argument.kwarg_only}

    @property
    def short(self) -> str:
        """`conv2d_relu` for `quantized::conv2d_relu`, `relu` for `aten::relu_`."""
        return self.kind.rpartition("::")[2].removesuffix("_")

    def evaluated(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs, if the inputs are `known`."""
        inputs = [known[name] for name in self.inputs]
        results: list[Any]
        match self.kind:
            case "prim::Constant":
                results = [self.node.output().toIValue()]
            case "prim::GetAttr":
                results = [getattr(inputs[0], self.node.s("name"))]
            case "prim::ListConstruct":
                results = [inputs]
            case "prim::TupleConstruct":
                results = [tuple(inputs)]
            case "prim::ListUnpack" | "prim::TupleUnpack":
                results = list(inputs[0])
            case "prim::NumToTensor":
                results = [torch.as_tensor(inputs[0])]
            case "aten::Int" | "aten::Float" | "aten::ScalarImplicit":
                results = [inputs[0].item() if isinstance(inputs[0], torch.Tensor) else inputs[0]]
            case _:
                result = torch._C._jit_get_operation(self.kind)[0](*inputs[: self.positional], **self._keywords(inputs))
                results = [result] if len(self.outputs) == 1 else list(result)
        return dict(zip(self.outputs, results, strict=True))


class TorchGraph:
    """The inlined graph of a traced module. Values have the names that TorchScript gives them."""

    def __init__(self, path: Path):
        torch.backends.quantized.engine = ENGINE
        self.traced = torch.jit.load(str(path)).eval()
        self.graph = self.traced.graph
        torch._C._jit_pass_inline(self.graph)
        self.operations = [_operation(node) for node in self.graph.nodes()]
        self.producers = {name: operation for operation in self.operations for name in operation.outputs}
        names = [value.debugName() for value in self.graph.inputs()]
        self.root, self.inputs = names[0], names[1:]
        self.outputs = [name for value in self.graph.outputs() for name in self._tensors_in(value.debugName())]

    @cached_property
    def constants(self) -> dict[str, Any]:
        """The values that depend on no input: numbers, lists of numbers, weights, and packed parameters."""
        known: dict[str, Any] = {self.root: self.traced}
        for operation in self.operations:
            if all(name in known for name in operation.inputs):
                known |= operation.evaluated(known)
        return known

    @cached_property
    def live(self) -> list[Operation]:
        """The operations that depend on an input."""
        return [operation for operation in self.operations if not set(operation.outputs) <= self.constants.keys()]

    @cached_property
    def weights(self) -> dict[str, Any]:
        """The tensors and packed parameters among the attributes of modules."""
        names = [operation.outputs[0] for operation in self.operations if operation.kind == "prim::GetAttr"]
        values = {name: self.constants[name] for name in names}
        return {name: v for name, v in values.items() if type(v) is torch.ScriptObject or isinstance(v, torch.Tensor)}

    def between(self, outputs: Iterable[str], cuts: set[str]) -> list[Operation]:
        """The operations that compute the values `outputs` from the values `cuts` and from constants, in order."""
        names: set[str] = set()
        new = set(outputs)
        while new:
            names |= new
            made = [self.producers[name] for name in new if name in self.producers and name not in self.constants]
            new = {name for operation in made for name in operation.inputs} - names - cuts
        return [operation for operation in self.live if names.intersection(operation.outputs)]

    def run(
        self, values: Mapping[str, Any], names: Iterable[str], operations: Iterable[Operation] | None = None
    ) -> dict[str, Any]:
        """The values `names`, computed by `operations` (None: by all) from `values`.

        Operations read the `values`, also where one of them makes that value again.
        """
        known, wanted = {**self.constants, **values}, set(names)
        results = {name: known[name] for name in wanted if name in known}
        for operation in self.live if operations is None else operations:
            made = operation.evaluated(known)
            known |= {name: value for name, value in made.items() if name not in values}
            # Operators whose names end with an underscore overwrite their input.
            results |= {name: _copied(value) for name, value in made.items() if name in wanted}
        return results

    def _tensors_in(self, name: str) -> list[str]:
        """The tensors in a tuple or a list."""
        operation = self.producers.get(name)
        if operation and operation.kind in ("prim::TupleConstruct", "prim::ListConstruct"):
            return [tensor for part in operation.inputs for tensor in self._tensors_in(part)]
        return [name]


def _operation(node: Node) -> Operation:
    inputs, outputs = (tuple(value.debugName() for value in side) for side in (node.inputs(), node.outputs()))
    return Operation(node.kind(), inputs, outputs, node.scopeName(), node)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
