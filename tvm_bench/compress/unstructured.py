"""Pruning of single weights: the smallest of each layer, or two of every four (2:4). Shapes stay.

Method: Han et al. 2015, arXiv:1506.02626, by `torch.nn.utils.prune`; 2:4 as in Mishra et al. 2021, arXiv:2104.08378:
groups of four along the input channels, which sparse tensor cores expect.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import prune

from ..spec.errors import UserError
from .layers import chosen, weighted

GROUP, GONE = 4, 2


def prune_unstructured(
    module: nn.Module,
    *,
    share: float,
    rounds: int = 1,
    layers: tuple[str, ...] = (),
    tune: Callable[[nn.Module], None] = lambda module: None,
) -> nn.Module:
    """A copy of `module` with the `share` (0 to 1) of each layer's weights at zero that is smallest.

    Layer by layer: one threshold for all may empty a layer, and the network with it. `tune` trains in place after each
    round.
    """
    pruned = copy.deepcopy(module)
    for done in range(1, rounds + 1):
        for layer in chosen(pruned, layers).values():
            # Zeros of earlier rounds are the smallest, so they count as part of the share.
            prune.l1_unstructured(layer, "weight", amount=share * done / rounds)
            prune.remove(layer, "weight")
        tune(pruned)
    return pruned.eval()


def prune_two_of_four(
    module: nn.Module,
    *,
    rounds: int = 1,
    layers: tuple[str, ...] = (),
    tune: Callable[[nn.Module], None] = lambda module: None,
) -> nn.Module:
    """A copy of `module` with the two smallest of each four weights at zero; with 2 `rounds`, one after the other.

    Layers whose input channels are no multiple of four (a stem on three colours) stay dense, or, when named in
    `layers`, raise `UserError`.
    """
    pruned = copy.deepcopy(module)
    able = {name: each for name, each in chosen(pruned, layers).items() if each.weight.shape[1] % GROUP == 0}
    if dense := [name for name in layers if name not in able]:
        raise UserError(f"layer '{dense[0]}' cannot be pruned 2:4: its input channels are no multiple of four.")
    if not able:
        raise UserError(f"no layer of {type(module).__name__} has input channels in multiples of four for 2:4.")
    for done in range(1, rounds + 1):
        for layer in able.values():
            prune.custom_from_mask(layer, "weight", _mask(layer.weight, GONE * done // rounds))
            prune.remove(layer, "weight")
        tune(pruned)
    return pruned.eval()


def _mask(weight: torch.Tensor, gone: int) -> torch.Tensor:
    """0 for the `gone` smallest of each four along the input channels, 1 for the others."""
    last = weight.detach().abs().movedim(1, -1)
    smallest = last.reshape(-1, GROUP).topk(gone, largest=False).indices
    mask = torch.ones(last.numel() // GROUP, GROUP).scatter_(1, smallest, 0)
    return mask.reshape(last.shape).movedim(-1, 1)


def zeros_kept(module: nn.Module) -> Callable[[nn.Module], None]:
    """What puts back, after a step of training, the zeros that the weights of `module` have now."""
    masks = {name: each.weight.detach() != 0 for name, each in weighted(module).items()}
    masks = {name: mask for name, mask in masks.items() if not mask.all()}

    def put_back(trained: nn.Module) -> None:
        with torch.no_grad():
            for name, mask in masks.items():
                weight = trained.get_submodule(name).weight
                weight.mul_(mask.to(weight.device))

    return put_back
