"""A network without weights, for a state dict to fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..host import user_code
from ..spec.errors import UserError
from .torchvision_models import SEED, untrained

RANDOM_FILLS = {
    *(nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_),
    *(torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_),
}


class _SkipRandomFills(TorchFunctionMode):
    """Leaves new parameters as they were allocated, as `torch.nn.utils.skip_init` does for one layer.

    Tensors that are no parameters are filled: a state dict need not have them.
    """

    def __torch_function__(
        self, function: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping | None = None
    ) -> Any:
        named = kwargs or {}
        tensor = named.get("tensor", args[0] if args else None)
        if function in RANDOM_FILLS and isinstance(tensor, nn.Parameter):
            return tensor
        return function(*args, **named)


def structure(name: str, classes: int) -> nn.Module:
    """The network that `models.resolve` builds for `name`, its parameters undefined. A callable sets its own classes.

    PyTorch's generator is left as it was. Raises `UserError` for a name that is not known, or a callable that returns
    no module.
    """
    with torch.random.fork_rng(devices=()), _SkipRandomFills():
        torch.manual_seed(SEED)  # for random tensors that are no parameters
        return call(name) if ":" in name else untrained(name, classes)


def call(name: str) -> nn.Module:
    """What the user's `package.module:callable` returns. Raises `UserError` where that is no module."""
    path, _, attribute = name.partition(":")
    try:
        build = getattr(user_code.import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"model '{name}': {error}. Give package.module:callable, importable from the folder you run in."
        ) from error
    module = build()
    if not isinstance(module, nn.Module):
        raise UserError(f"model '{name}': the callable returned {type(module).__name__}, not a torch.nn.Module.")
    return module
