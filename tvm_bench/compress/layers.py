"""The layers of a network that hold nearly all of its weights: convolutions and linear layers, by name."""

from __future__ import annotations

from torch import nn

from ..spec.errors import UserError, unknown

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def weighted(module: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers, in the order of their definition."""
    return {name: each for name, each in module.named_modules() if isinstance(each, WEIGHTED)}


def chosen(module: nn.Module, names: tuple[str, ...] = ()) -> dict[str, nn.Module]:
    """Those of `weighted` that are named; all where none is. Raises `UserError` for a name that cannot be pruned."""
    layers, every = weighted(module), dict(module.named_modules())
    if not layers:
        raise UserError(f"{type(module).__name__} has no convolution and no linear layer: there is nothing to prune.")
    for name in names:
        if name in every and name not in layers:
            kind = type(every[name]).__name__
            raise UserError(f"layer '{name}' is a {kind}: only convolutions and linear layers can be pruned.")
        if name not in layers:
            raise unknown("layer", name, layers)
    return {name: layers[name] for name in names} if names else layers
