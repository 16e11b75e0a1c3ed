"""Pruning of single weights: the smallest of each layer, or two of every four (2:4). Shapes do not change.

Method: Han et al. 2015, arXiv:1506.02626, by `torch.nn.utils.prune`; 2:4 as in Mishra et al. 2021, arXiv:2104.08378:
groups of four along the input channels, as sparse tensor cores need them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import prune

from ..spec.errors import UserError
from .layers import prunable, weighted

GROUP, ZEROS = 4, 2


def prune_unstructured(
    module: nn.Module,
    *,
    share: float,
    iterations: int = 1,
    layers: tuple[str, ...] = (),
    train: Callable[[nn.Module], None] = lambda module: None,
) -> nn.Module:
    """A copy of `module` with the smallest `share` (0 to 1) of each layer's weights set to zero.

    Each layer has its own threshold: a common one could remove a whole layer. `train` trains in place after each
    iteration.
    """
    pruned = copy.deepcopy(module)
    for number in range(1, iterations + 1):
        for layer in prunable(pruned, layers).values():
            # Zeros of earlier iterations are the smallest weights, so they are part of the share.
            prune.l1_unstructured(layer, "weight", amount=share * number / iterations)
            prune.remove(layer, "weight")
        train(pruned)
    return pruned.eval()


def prune_two_of_four(
    module: nn.Module,
    *,
    iterations: int = 1,
    layers: tuple[str, ...] = (),
    train: Callable[[nn.Module], None] = lambda module: None,
) -> nn.Module:
    """A copy of `module` with the two smallest of each four weights set to zero; with 2 `iterations`, one in each.

    Layers whose input channels are no multiple of four (a stem on three colours) are not pruned. If such a layer is
    named in `layers`, raises `UserError`.
    """
    pruned = copy.deepcopy(module)
    able = {name: layer for name, layer in prunable(pruned, layers).items() if layer.weight.shape[1] % GROUP == 0}
    if dense := [name for name in layers if name not in able]:
        raise UserError(
            f"layer '{dense[0]}' cannot be pruned 2:4: its input channels are no multiple of four. "
            "Leave it out of --layers."
        )
    if not able:
        raise UserError(
            f"no layer of {type(module).__name__} has a multiple of four input channels, which 2:4 needs. "
            "Use prune-unstructured50."
        )
    for number in range(1, iterations + 1):
        for layer in able.values():
            prune.custom_from_mask(layer, "weight", _mask(layer.weight, ZEROS * number // iterations))
            prune.remove(layer, "weight")
        train(pruned)
    return pruned.eval()


def _mask(weight: torch.Tensor, zeros: int) -> torch.Tensor:
    """0 for the `zeros` smallest of each four weights along the input channels, 1 for the others."""
    last = weight.detach().abs().movedim(1, -1)
    smallest = last.reshape(-1, GROUP).topk(zeros, largest=False).indices
    mask = torch.ones(last.numel() // GROUP, GROUP).scatter_(1, smallest, 0)
    return mask.reshape(last.shape).movedim(-1, 1)


def zeros_kept(module: nn.Module) -> Callable[[nn.Module], None]:
    """A function for after each training step: it restores the zeros that the weights of `module` have now."""
    masks = {name: layer.weight.detach() != 0 for name, layer in weighted(module).items()}
    masks = {name: mask for name, mask in masks.items() if not mask.all()}

    def restore(trained: nn.Module) -> None:
        with torch.no_grad():
            for name, mask in masks.items():
                weight = trained.get_parameter(f"{name}.weight")
                weight.mul_(mask.to(weight.device))

    return restore
