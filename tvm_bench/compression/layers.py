"""Layers with weights: convolutions and linear layers, which hold nearly all weights of a model."""

from __future__ import annotations

from torch import nn

from ..spec.errors import UserError, unknown

Weighted = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


def weighted(module: nn.Module) -> dict[str, Weighted]:
    """Convolutions and linear layers by name, in the order of their definition."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, Weighted)}


def prunable(module: nn.Module, names: tuple[str, ...] = ()) -> dict[str, Weighted]:
    """The layers `names` of `weighted`; all of them without names. Raises `UserError` for one that cannot be pruned."""
    layers, modules = weighted(module), dict(module.named_modules())
    if not layers:
        raise UserError(
            f"{type(module).__name__} has no convolution and no linear layer, so there is nothing to prune. "
            "Leave pruning out of --recipe."
        )
    for name in names:
        if name in modules and name not in layers:
            kind = type(modules[name]).__name__
            raise UserError(
                f"layer '{name}' is a {kind}: only convolutions and linear layers can be pruned. Leave it out."
            )
        if name not in layers:
            raise unknown("layer", name, layers)
    return {name: layers[name] for name in names} if names else layers
