"""Structured pruning: whole filters go, by the L1 norm of their weights and of all that hangs on them.

Method: Li et al. 2017, arXiv:1608.08710; what hangs together by Fang et al. 2023 (DepGraph), arXiv:2301.12900, with
their library torch-pruning. Shapes shrink, and shortcuts keep the same filters on both sides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from ..spec.errors import UserError
from .layers import chosen, weighted

# Filters of wide networks are left in multiples of a SIMD register's floats: other counts waste lanes in every kernel.
LANES, WIDE = 8, 64


def prune_structured(
    module: nn.Module,
    shape: tuple[int, ...],
    *,
    share: float,
    rounds: int = 1,
    layers: tuple[str, ...] = (),
    tune: Callable[[nn.Module], None] = lambda module: None,
) -> nn.Module:
    """A copy of `module` without the `share` (0 to 1) of each layer's filters that is weakest.

    `shape` is one input's (channels, height, width); `tune` trains in place after each round. Raises `UserError` for a
    network that cannot be followed, and for named `layers` that cannot lose filters.
    """
    import torch_pruning

    if rounds > 1:  # what cannot be done is known before anything trains
        prune_structured(module, shape, share=share, rounds=1, layers=layers, tune=lambda _: None)
    pruned, example = copy.deepcopy(module).eval(), torch.zeros(1, *shape)
    named, every = chosen(pruned, layers), weighted(pruned)
    last = _last(pruned, example)
    if last in layers:
        raise UserError(f"layer '{last}' cannot lose filters: they are the classes. Leave it out of --layers.")
    narrowest = min(each.weight.shape[0] for name, each in every.items() if name != last or len(every) == 1)
    wide = narrowest >= WIDE and narrowest * (1 - share) >= LANES  # else rounding would leave nothing, or everything
    try:
        pruner = torch_pruning.pruner.MagnitudePruner(
            pruned,
            example,
            importance=torch_pruning.importance.MagnitudeImportance(p=1),
            pruning_ratio=share,
            iterative_steps=rounds,
            ignored_layers=[each for name, each in every.items() if name == last or name not in named],
            round_to=LANES if wide else None,
        )
    except FOLLOWING as error:
        raise _cannot(module, error) from error
    for number in range(rounds):
        try:
            pruner.step()
            with torch.inference_mode():
                pruned(example)
        except FOLLOWING as error:
            raise _cannot(module, error) from error
        if number + 1 == rounds:
            _check(module, pruned, layers)
        tune(pruned)
    return pruned.eval()


FOLLOWING = (RuntimeError, ValueError, AttributeError, KeyError, TypeError)  # what torch-pruning ends with


def _cannot(module: nn.Module, error: Exception) -> UserError:
    return UserError(
        f"{type(module).__name__} cannot lose filters: its layers cannot be followed ({error}). "
        "Take prune-unstructured or prune-2:4, which leave the shapes."
    )


def _last(module: nn.Module, example: torch.Tensor) -> str:
    """Name of the layer that runs last: its outputs are the classes."""
    ran: list[str] = []
    hooks = [
        each.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, each in weighted(module).items()
    ]
    with torch.inference_mode():
        module(example)
    for hook in hooks:
        hook.remove()
    return ran[-1]


def _check(before: nn.Module, after: nn.Module, named: tuple[str, ...]) -> None:
    old, new = weighted(before), weighted(after)
    same = [name for name in named or old if old[name].weight.shape[0] == new[name].weight.shape[0]]
    if named and same:
        raise UserError(
            f"layer '{same[0]}' cannot lose filters alone: a shortcut ties it to others. Name those in --layers too, "
            "or leave it out."
        )
    if len(same) == len(old):
        raise UserError(f"no layer of {type(before).__name__} could lose filters. Take prune-unstructured.")
