"""Computes what a traced graph computes from constants and shapes only, with PyTorch itself.

A front end that converts one operator after the other loses what an operator writes into a view: Swin Transformers fill
parts of their attention masks with `mask[a:b, c:d] = n`, and set a part of a bias to zero. Both are constants, since
the shapes of a trace are fixed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._C import Node, Value

# Their first input gives only the shape and the dtype.
LIKE = {"aten::new_zeros", "aten::new_ones", "aten::new_full", "aten::zeros_like", "aten::ones_like", "aten::full_like"}
CONSTANTS = ("prim::Constant", "prim::GetAttr")
RANDOM = ("rand", "normal", "bernoulli", "dropout", "uniform", "multinomial", "exponential")


def fold(traced: torch.jit.ScriptModule) -> None:
    """Inline the graph of a module that was just traced, and replace its constant results in place."""
    graph = traced.graph
    torch._C._jit_pass_inline(graph)
    folding = _Folding(traced)
    nodes = list(graph.nodes())
    for node in nodes:
        folding.visit(node)
    for node in reversed(nodes):
        folding.remove(node)


class _Folding:
    """The values of the visited constant expressions, by name."""

    def __init__(self, traced: torch.jit.ScriptModule):
        self.traced = traced
        self.known: dict[str, Any] = {}
        self.attributes: set[int | None] = set()  # storages of weights and buffers, which keep their values
        self.written: set[int | None] = set()  # storages into which something unknown was written

    def visit(self, node: Node) -> None:
        """Compute the output of `node`; if that is not constant, replace its inputs that are."""
        if node.outputsSize() == 1 and self._computed(node):
            return
        if node.kind().endswith("_") and self._is_known(first := next(node.inputs())):
            self.written.add(_storage(self.known[first.debugName()]))
        self._replace_inputs(node)

    def remove(self, node: Node) -> None:
        """Remove `node` if it computes a constant that nothing uses any more, writes into views included."""
        if node.outputsSize() == 1 and not node.output().uses() and self._is_known(node.output()):
            node.destroy()

    def _computed(self, node: Node) -> bool:
        try:
            value = self._value(node)
        except (RuntimeError, AttributeError, TypeError, _Unknown):
            return False
        self.known[node.output().debugName()] = value
        return True

    def _value(self, node: Node) -> Any:
        kind, inputs = node.kind(), list(node.inputs())
        if kind == "prim::Constant":
            return node.output().toIValue()
        if kind == "prim::GetAttr":
            weight = attribute(self.traced, node.output())
            self.attributes.add(_storage(weight))
            return weight
        if kind == "aten::size":
            sizes = _tensor_like(inputs[0]).shape
            return sizes[self._constant(inputs[1])] if len(inputs) > 1 else list(sizes)
        if kind in LIKE:
            return _called(node, [_tensor_like(inputs[0]), *map(self._constant, inputs[1:])])
        values = list(map(self._constant, inputs))
        if kind == "prim::ListConstruct":
            self._replace_inputs(node)  # the list itself stays
            return values
        if kind == "prim::NumToTensor":
            return torch.tensor(values[0])
        if not kind.startswith("aten::") or any(name in kind for name in RANDOM):
            raise _Unknown
        if kind.endswith("_") and _storage(values[0]) in self.attributes:
            raise _Unknown
        return _called(node, values)

    def _constant(self, value: Value) -> Any:
        if not self._is_known(value):
            raise _Unknown
        return self.known[value.debugName()]

    def _is_known(self, value: Value) -> bool:
        known = self.known.get(value.debugName(), _Unknown)
        return known is not _Unknown and _storage(known) not in self.written

    def _replace_inputs(self, node: Node) -> None:
        graph = self.traced.graph
        with graph.insert_point_guard(node):
            for position, value in enumerate(node.inputs()):
                if value.node().kind() in CONSTANTS or not self._is_known(value):
                    continue
                constant = self._constant(value)
                if isinstance(constant, torch.Tensor) and not constant.is_quantized:
                    constant = constant.detach().clone()  # it may be written to later
                elif not isinstance(constant, int | float | bool):
                    continue
                node.replaceInput(position, graph.insertConstant(constant))  # type: ignore[attr-defined]  # no stub


class _Unknown(Exception):
    """The value depends on the inputs of the model."""


def _called(node: Node, values: list[Any]) -> Any:
    operator = getattr(torch.ops.aten, node.kind().removeprefix("aten::"))
    arguments = torch._C.parse_schema(node.schema()).arguments
    named = {a.name: value for a, value in zip(arguments, values, strict=True) if a.kwarg_only}
    return operator(*values[: len(values) - len(named)], **named)


def _tensor_like(value: Value) -> torch.Tensor:
    """A tensor of the shape and the dtype that a value had in the trace."""
    kind: Any = value.type()
    sizes, dtype = kind.sizes(), kind.dtype()
    if sizes is None or dtype is None:
        raise _Unknown
    return torch.empty((), dtype=dtype).expand(sizes)


def _storage(value: Any) -> int | None:
    return value.untyped_storage().data_ptr() if isinstance(value, torch.Tensor) else None


def attribute(traced: torch.jit.ScriptModule, value: Value) -> Any:
    """The weight, buffer or submodule of `traced` that `value` of its inlined graph is."""
    if value.node().kind() == "prim::Param":
        return traced
    return getattr(attribute(traced, value.node().input()), value.node().s("name"))
