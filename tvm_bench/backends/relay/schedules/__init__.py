"""The schedules of a build: for each convolution the one that tuning selected, or else a likely fast one.

The name of a schedule is `tvm` (TVM's own), `winograd4` and `winograd2` (by the tile of outputs), or a register
tile such as `2x1x14` (see direct_conv.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tvm import relay, topi
from tvm.relay.op import strategy
from tvm.target.x86 import get_simd_32bit_lanes
from tvm.topi.x86 import conv2d_alter_op

from . import (
    batch_matmul,
    dense,
    direct_conv,
    global_pool,
    grouped_conv,
    input_layout,
    int8_dot,
    resize,
    transposed_conv,
    vector_math,
    winograd,
)
from .conv_workload import Convolution
from .override import attribute, check_version, registration

TVM = "tvm"
DEFAULTS: Mapping[str, str] = {}  # every convolution gets its default schedule


@contextmanager
def using(by_convolution: Mapping[str, str] = DEFAULTS) -> Iterator[None]:
    """While the context is open, `relay.build` uses the project's schedules; afterwards, the previous ones.

    `by_convolution` names schedules by `str(Convolution)`; other convolutions get the first of their candidates.
    """
    check_version()

    def schedule_of(convolution: Convolution) -> str:
        return by_convolution.get(str(convolution)) or candidates(convolution)[0]

    def alter_layout(attrs: Any, inputs: list, types: list, out: Any) -> relay.Expr | None:
        return (
            winograd.alter_layout(attrs, inputs, types, schedule_of=schedule_of)
            or direct_conv.alter_layout(attrs, inputs, types)
            or grouped_conv.alter_layout(attrs, inputs, types, schedule_of=schedule_of)
            or conv2d_alter_op._alter_conv2d_layout(attrs, inputs, types, out)
        )

    def legalize(attrs: Any, inputs: list, types: list) -> relay.Expr | None:
        return grouped_conv.merge(attrs, inputs, types) or direct_conv.legalize(attrs, inputs, types)

    def direct_schedule_of(convolution: Convolution) -> str:
        """Also for a convolution that Winograd refuses when it sees the weights."""
        return applied(schedule_of(convolution), convolution, "nn.contrib_conv2d_NCHWc")

    blocked = partial(direct_conv.strategy, schedule_of=direct_schedule_of)
    with (
        registration(topi.nn.conv2d_alter_layout, alter_layout),
        registration(topi.nn.conv2d_legalize, legalize),
        registration(strategy.conv2d_winograd_without_weight_transform_strategy, winograd.strategy),
        registration(strategy.conv2d_NCHWc_strategy, blocked),
        registration(strategy.depthwise_conv2d_NCHWc_strategy, blocked),
        registration(strategy.schedule_injective, input_layout.schedule),
        registration(topi.nn.dense_alter_layout, dense.alter_layout),
        registration(strategy.dense_pack_strategy, dense.strategy),
        registration(strategy.batch_matmul_strategy, batch_matmul.strategy),
        # TVM has no hook for the size of blocks.
        attribute(conv2d_alter_op, "_get_default_config", direct_conv.configure),
        # TVM has registered nothing for CPUs.
        attribute(topi.nn, "conv2d_transpose_legalize", transposed_conv.legalize),
        # Relay has copied the functions that are registered for its schedules of pooling.
        attribute(topi.x86, "schedule_adaptive_pool", global_pool.schedule),
        global_pool.using(),
        vector_math.using(),
        resize.using(),
    ):
        yield


def applied(schedule: str, convolution: Convolution, operator: str) -> str:
    """The schedule that a call of `operator` has where `schedule` was asked for: Winograd refuses some weights."""
    if not schedule.startswith(winograd.NAME) or winograd.NAME in operator:
        return schedule
    return next(name for name in candidates(convolution) if not name.startswith(winograd.NAME))


def candidates(convolution: Convolution) -> list[str]:
    """The schedules that a convolution can have, the default first."""
    if grouped := grouped_conv.tiles(convolution):
        return [*grouped, TVM]
    tiles = direct_conv.tiles(convolution)
    if tiles and (convolution.dtype == "bf16" or direct_conv.in_half_blocks(convolution)):
        return tiles
    winograds = winograd.names(convolution)
    if convolution.dtype == "int8" and tiles and not (convolution.depthwise or int8_dot.has_vnni()):
        direct = tiles  # TVM's own sums overflow 16 bits
    elif (
        convolution.dtype == "int8"
        or convolution.depthwise
        or direct_conv.has_few_products(convolution)
        or get_simd_32bit_lanes() < 16  # TVM's tiles need more registers
    ):
        direct = [*tiles, TVM]
    else:
        direct = [TVM, *tiles]
    if winograd.pays(convolution):
        return [*winograds, *direct]
    return [direct[0], *winograds, *direct[1:]]
