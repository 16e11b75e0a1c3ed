"""Clips of quantized data, as of ReLU6 and hard-swish: their limits are rounded, and stay within the type.

TVM 0.19 cuts off the fraction of a limit in steps, so that 6 may become the step below. A limit that the type cannot
hold ends the build with "Literal value 2886 exceeds maximum of uint8".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tvm
from tvm import relay

from .calls import is_scalar, number
from .schedules.override import operator_attribute

RULE = "FTVMFakeQuantizationToInteger"


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM's `FakeQuantizationToInteger` clips by the rule of this file."""
    with replaced_rule("clip", _clip):
        yield


@contextmanager
def replaced_rule(operator: str, rule: Callable) -> Iterator[None]:
    """While the context is open, `FakeQuantizationToInteger` calls `rule(call, types, TVM's own rule)`."""
    tvms = tvm.ir.Op.get(operator).get_attr(RULE)
    with operator_attribute(operator, RULE, lambda call, types: rule(call, types, tvms)):
        yield


def _clip(call: relay.Call, types: Mapping[relay.Expr, Any], tvms: Callable) -> Any:
    """The clip in steps of the quantization of its data; by TVM's rule if that differs between channels."""
    quantization = types[call.args[0]]
    parameters = quantization.scale, quantization.zero_point
    if not all(map(is_scalar, parameters)):
        return tvms(call, types)
    scale, zero = map(number, parameters)
    range_of_type = np.iinfo(quantization.dtype)
    steps = np.round(np.array([call.attrs.a_min, call.attrs.a_max]) / scale) + zero
    low, high = np.clip(steps, range_of_type.min, range_of_type.max)
    return [relay.clip(call.args[0], float(low), float(high)), quantization]
