"""The schedules of a build without tuning records: TVM's defaults, and this project's where those are slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tvm import topi
from tvm.relay.op import strategy
from tvm.relay.op.strategy import x86
from tvm.topi.x86 import conv2d_alter_op

from . import vnni, winograd


@contextmanager
def defaults() -> Iterator[None]:
    """While this is open, `relay.build` finds the project's schedules; TVM's come back afterwards."""
    with (
        _replaced(topi.nn.conv2d_alter_layout, conv2d_alter_op._alter_conv2d_layout, winograd.alter_layout),
        _replaced(
            strategy.conv2d_winograd_without_weight_transform_strategy,
            x86.conv2d_winograd_without_weight_transform_strategy_cpu,
            winograd.strategy,
        ),
        _replaced(strategy.conv2d_NCHWc_strategy, x86.conv2d_NCHWc_strategy_cpu, vnni.strategy),
    ):
        yield


@contextmanager
def _replaced(generic: Any, theirs: Callable, ours: Callable) -> Iterator[None]:
    generic.register("cpu", override=True)(ours)
    try:
        yield
    finally:
        generic.register("cpu", override=True)(theirs)
