"""Networks without weights, to be filled from a state dict."""

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

    Tensors that are not parameters are filled, because a state dict need not contain them.
    """

    def __torch_function__(
        self, function: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping | None = None
    ) -> Any:
        keywords = kwargs or {}
        tensor = keywords.get("tensor", args[0] if args else None)
        if function in RANDOM_FILLS and isinstance(tensor, nn.Parameter):
            return tensor
        return function(*args, **keywords)


def structure(name: str, classes: int) -> nn.Module:
    """The network that `models.resolve` builds for `name`, with undefined parameters. A callable ignores `classes`.

    PyTorch's random generator is left unchanged. Raises `UserError` for an unknown name, and for a callable that
    returns no module.
    """
    with torch.random.fork_rng(devices=()), _SkipRandomFills():
        torch.manual_seed(SEED)  # for random tensors that are not parameters
        return call(name) if ":" in name else untrained(name, classes)


def call(name: str) -> nn.Module:
    """Returns the module that the user's `package.module:callable` builds. Raises `UserError` if it builds none."""
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
