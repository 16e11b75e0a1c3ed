"""The schedules of a build: for each convolution the one that was chosen, or the one that is likeliest to be fast.

A schedule is named by a word: `tvm` (TVM's own), `winograd4` and `winograd2` (by the tile of outputs), or a register
tile such as `2x1x14` (see direct.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

from tvm import relay, topi
from tvm.relay.op import strategy
from tvm.relay.op.strategy import x86
from tvm.topi.x86 import conv2d_alter_op

from . import direct_conv, input_layout, winograd
from .conv_workload import Convolution

TVM = "tvm"
NONE: Mapping[str, str] = {}


@contextmanager
def using(choices: Mapping[str, str] = NONE) -> Iterator[None]:
    """While this is open, `relay.build` finds the project's schedules; TVM's come back afterwards.

    `choices` names the schedule of a convolution by `str(Convolution)`; the others get the first of their candidates.
    """

    def chosen(convolution: Convolution) -> str:
        return choices.get(str(convolution)) or candidates(convolution)[0]

    def alter_layout(attrs: Any, inputs: list, types: list, out: Any) -> relay.Expr | None:
        ours = winograd.alter_layout(attrs, inputs, types, chosen=chosen) or direct_conv.alter_layout(
            attrs, inputs, types
        )
        return ours or conv2d_alter_op._alter_conv2d_layout(attrs, inputs, types, out)

    blocked = partial(direct_conv.strategy, chosen=chosen)
    with (
        _replaced(topi.nn.conv2d_alter_layout, conv2d_alter_op._alter_conv2d_layout, alter_layout),
        _replaced(
            strategy.conv2d_winograd_without_weight_transform_strategy,
            x86.conv2d_winograd_without_weight_transform_strategy_cpu,
            winograd.strategy,
        ),
        _replaced(topi.nn.conv2d_legalize, conv2d_alter_op._conv2d_legalize, direct_conv.legalize),
        _replaced(strategy.conv2d_NCHWc_strategy, x86.conv2d_NCHWc_strategy_cpu, blocked),
        _replaced(strategy.depthwise_conv2d_NCHWc_strategy, x86.depthwise_conv2d_NCHWc_strategy_cpu, blocked),
        # TVM has no hook for the size of blocks.
        mock.patch.object(conv2d_alter_op, "_get_default_config", direct_conv.configure),
        _replaced(strategy.schedule_injective, x86.schedule_injective_cpu, input_layout.schedule),
    ):
        yield


def candidates(convolution: Convolution) -> list[str]:
    """The schedules that a convolution can have, the default first."""
    tiles = direct_conv.tiles(convolution)
    if tiles and direct_conv.only_ours(convolution):
        return tiles
    if convolution.dtype == "int8" or convolution.depthwise:
        return [*tiles, TVM]
    found = [f"winograd{size}" for size in winograd.SIZES if winograd.fits(convolution)]
    if winograd.pays(convolution):
        return [*found, TVM, *tiles]
    return [TVM, *found, *tiles]


@contextmanager
def _replaced(generic: Any, theirs: Callable, ours: Callable) -> Iterator[None]:
    generic.register("cpu", override=True)(ours)
    try:
        yield
    finally:
        generic.register("cpu", override=True)(theirs)
