"""Resizes of quantized data: interpolated in float, rounded half to even, as ONNX and PyTorch define them.

TVM 0.19 resizes the bytes and cuts off the fraction, so that interpolated values are half a step too small on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tvm import relay

from .calls import is_scalar, number
from .quantized_clip import replaced_rule
from .rounding import BYTES, quantized


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM's `FakeQuantizationToInteger` resizes by the rule of this file."""
    with replaced_rule("image.resize2d", _resize):
        yield


def _resize(call: relay.Call, types: Mapping[relay.Expr, Any], tvms: Callable) -> Any:
    """The resize in steps of its data; by TVM's rule if it only selects values, or if channels differ in steps."""
    quantization = types[call.args[0]]
    if call.attrs.method == "nearest_neighbor" or not is_scalar(quantization.zero_point):
        return tvms(call, types)
    zero, dtype = number(quantization.zero_point), quantization.dtype
    resized = relay.image.resize2d(call.args[0], **{**call.attrs, "out_dtype": "float32"})
    # Above the zero point: half to even depends on whether that is odd.
    return [quantized(resized - relay.const(float(zero)), zero, BYTES[dtype], dtype), quantization]
