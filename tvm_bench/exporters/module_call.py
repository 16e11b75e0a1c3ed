"""Calls a module, plain or traced, on tensors: the outputs as a flat tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..models.tensors import flatten, tensors

__all__ = ["call", "tensors"]


def call(module: Callable[..., Any], inputs: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The outputs of `module`, whatever structure it returns them in."""
    outputs = module(*inputs)
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(flatten(outputs).values())
