"""Operators of PyTorch that a library of fixed shapes cannot have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..spec.errors import UserError
from ..spec.tensors import TensorSpec
from .tensors import zeros

# The sizes of their outputs depend on the values of their inputs.
DATA_DEPENDENT = {"nonzero", "masked_select", "nms", "batched_nms", "unique", "_unique", "_unique2", "unique_dim"}
DATA_DEPENDENT |= {"unique_consecutive", "bincount", "repeat_interleave"}


def run_static(module: nn.Module, inputs: Sequence[TensorSpec]) -> Any:
    """What `module` returns for zeros. Raises `UserError` with the first operator that has no fixed shapes."""
    watch = _Watch()
    hooks = []
    for name, layer in module.named_modules():
        hooks.append(layer.register_forward_pre_hook(lambda *_, name=name: watch.path.append(name)))
        hooks.append(layer.register_forward_hook(lambda *_: watch.path.pop() and None, always_call=True))
    try:
        with torch.inference_mode(), watch:
            return module(*zeros(inputs))
    finally:
        for hook in hooks:
            hook.remove()


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.path: list[str] = []  # of the modules that run, the innermost last

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        operator = func.overloadpacket.__name__
        if operator in DATA_DEPENDENT or (operator == "index" and any(map(_is_mask, args[1]))):
            where = self.path[-1] if self.path and self.path[-1] else "the model's own forward"
            kind = f"{func.namespace}::{operator}{' by a mask' if operator == 'index' else ''}"
            raise UserError(
                f"the operator {kind} (in {where}) has outputs whose sizes depend on the values of its inputs. A "
                "compiled library has fixed shapes. Return what comes before it, such as the raw outputs of a "
                "detector, and compute the rest on these."
            )
        return func(*args, **(kwargs or {}))


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)
