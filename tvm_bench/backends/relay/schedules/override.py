"""Replaces functions of TVM while a context is open.

TVM 0.19 has no public way to do this for one build. The project relies on these private parts of TVM:

- `dispatch_dict` of a `tvm.target.generic_func`, and `generic_func_node` of an `override_native_generic_func`;
- `_alter_conv2d_layout`, `_conv2d_legalize` and `_get_default_config` of `tvm.topi.x86.conv2d_alter_op`;
- `_get_default_config` of `tvm.topi.x86.conv2d`, and the strategies in `tvm.relay.op.strategy.x86`;
- `topi.nn.conv2d_transpose_legalize`, which Relay calls by this name;
- `topi.x86.schedule_adaptive_pool`, which the strategy of pooling calls by this name;
- the attributes `llvm.FLowerIntrinsic` and `TVectorizable` of TIR operators.

The functions are global: two threads must not build at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tvm

VERSION = "0.19.0"
KEY = "cpu"  # under which TVM registers its functions for x86


def check_version(version: str = tvm.__version__) -> None:
    """Raise `RuntimeError` for another version of TVM: its private parts may differ."""
    if version != VERSION:
        raise RuntimeError(f"this is TVM {version}; the project replaces private functions of {VERSION}. Install that.")


@contextmanager
def registration(generic: Any, function: Callable) -> Iterator[None]:
    """Register `function` for CPUs with the generic function `generic`; afterwards, register the previous one again."""
    previous = registered(generic)
    generic.register(KEY, override=True)(function)
    try:
        yield
    finally:
        generic.register(KEY, override=True)(previous)


def registered(generic: Any) -> Callable:
    """The function that `generic` calls for CPUs: in Python, or a packed function if TVM has the table in C++."""
    if hasattr(generic, "dispatch_dict"):
        return generic.dispatch_dict[KEY]
    with tvm.target.Target("llvm"):
        return generic.generic_func_node.get_packed_func()


@contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set `owner.name` to `value`; afterwards, to its previous value."""
    previous = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, previous)


@contextmanager
def operator_attribute(name: str, attribute: str, value: Any) -> Iterator[None]:
    """Set an attribute of the operator `name` to `value` (None: it has none); afterwards, to its previous value."""
    operator = tvm.ir.Op.get(name)
    previous = operator.get_attr(attribute)
    operator.reset_attr(attribute)
    if value is not None:
        operator.set_attr(attribute, value)
    try:
        yield
    finally:
        operator.reset_attr(attribute)
        if previous is not None:
            operator.set_attr(attribute, previous)
