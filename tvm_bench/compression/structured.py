"""Structured pruning: removes the filters with the smallest L1 norm, together with all weights that depend on them.

Method: Li et al. 2017, arXiv:1608.08710; dependencies by Fang et al. 2023 (DepGraph), arXiv:2301.12900, with their
library torch-pruning. Shapes shrink, and both sides of a shortcut keep the same filters.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from ..spec.errors import UserError
from .layers import prunable, weighted

# Wide models keep a multiple of a SIMD register's floats of filters: other counts waste lanes in every kernel.
LANES, WIDE = 8, 64


def prune_structured(
    module: nn.Module,
    shape: tuple[int, ...],
    *,
    share: float,
    iterations: int = 1,
    layers: tuple[str, ...] = (),
    train: Callable[[nn.Module], None] = lambda module: None,
) -> nn.Module:
    """A copy of `module` without the weakest `share` (0 to 1) of each layer's filters.

    `shape` is (channels, height, width) of one input; `train` trains in place after each iteration. Raises `UserError`
    for a model that torch-pruning cannot trace, and for named `layers` that cannot lose filters.
    """
    import torch_pruning

    if iterations > 1:  # raises errors before any training
        prune_structured(module, shape, share=share, layers=layers)
    pruned, example = copy.deepcopy(module).eval(), torch.zeros(1, *shape)
    named, every = prunable(pruned, layers), weighted(pruned)
    last = _last(pruned, example)
    if last in layers:
        raise UserError(f"layer '{last}' cannot lose filters: they are the classes. Leave it out of --layers.")
    narrowest = min(layer.weight.shape[0] for name, layer in every.items() if name != last or len(every) == 1)
    wide = narrowest >= WIDE and narrowest * (1 - share) >= LANES  # rounding a few filters could remove none, or all
    try:
        pruner = torch_pruning.pruner.MagnitudePruner(
            pruned,
            example,
            importance=torch_pruning.importance.MagnitudeImportance(p=1),
            pruning_ratio=share,
            iterative_steps=iterations,
            ignored_layers=[layer for name, layer in every.items() if name == last or name not in named],
            round_to=LANES if wide else None,
        )
    except TRACE_ERRORS as error:
        raise _untraceable(module, error) from error
    for number in range(iterations):
        try:
            pruner.step()
            with torch.inference_mode():
                pruned(example)
        except TRACE_ERRORS as error:
            raise _untraceable(module, error) from error
        if number + 1 == iterations:
            _check(module, pruned, layers)
        train(pruned)
    return pruned.eval()


TRACE_ERRORS = (RuntimeError, ValueError, AttributeError, KeyError, TypeError)  # of torch-pruning


def _untraceable(module: nn.Module, error: Exception) -> UserError:
    return UserError(
        f"{type(module).__name__} cannot lose filters: torch-pruning cannot trace its layers ({error}). "
        "Use prune-unstructured or prune-2:4, which keep the shapes."
    )


def _last(module: nn.Module, example: torch.Tensor) -> str:
    """The name of the layer that runs last: its outputs are the classes."""
    ran: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, layer in weighted(module).items()
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
            f"layer '{same[0]}' cannot lose filters alone: a shortcut connects it to others. Name those too, or "
            "leave it out of --layers."
        )
    if len(same) == len(old):
        raise UserError(f"no layer of {type(before).__name__} can lose filters. Use prune-unstructured.")
