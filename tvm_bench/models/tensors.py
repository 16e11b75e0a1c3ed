"""Tensors of a network: example inputs, and outputs of any structure as a flat dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ..spec.errors import UserError
from ..spec.tensors import Arrays, TensorSpec


def zeros(inputs: Iterable[TensorSpec]) -> tuple[torch.Tensor, ...]:
    """An example of each input."""
    return tuple(torch.from_numpy(np.zeros(spec.shape, spec.dtype)) for spec in inputs)


def tensors(arrays: Arrays) -> tuple[torch.Tensor, ...]:
    """The arrays as tensors that share their memory."""
    return tuple(map(torch.from_numpy, arrays))


def flatten(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """The tensors in a network's output by name: a tensor, or tuples, lists and dictionaries of them, in their order.

    Keys of dictionaries become names; members of tuples are numbered. Raises `UserError` for anything else.
    """
    if isinstance(value, torch.Tensor):
        return {name or ("logits" if value.ndim == 2 else "output"): value}
    if isinstance(value, Mapping):
        members = [(f"{name}_{key}" if name else str(key), member) for key, member in value.items()]
    elif isinstance(value, tuple | list):
        members = [(f"{name or 'output'}_{i}", member) for i, member in enumerate(value)]
    else:
        raise UserError(
            f"the model returns a {type(value).__name__}{f' as {name}' if name else ''}: only tensors, and tuples, "
            "lists and dictionaries of tensors, can be compared and exported. Return tensors only."
        )
    return {key: tensor for label, member in members for key, tensor in flatten(member, label).items()}


@contextmanager
def flat_outputs(module: nn.Module) -> Iterator[None]:
    """While open, `module` returns a tuple in place of nested outputs, as tracing needs. A single tensor stays."""

    def flat(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return output if isinstance(output, torch.Tensor) else tuple(flatten(output).values())

    hook = module.register_forward_hook(flat)
    try:
        yield
    finally:
        hook.remove()
