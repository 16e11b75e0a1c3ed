"""Tables of quantized functions of one value, such as sigmoid: an output byte for each input byte.

TVM 0.19 compiles two programs for each table, which takes half a second. EfficientNet has a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from tvm import relay
from tvm.relay.qnn.op import canonicalizations

from .calls import number
from .schedules.override import attribute


def using() -> AbstractContextManager[None]:
    """While the context is open, TVM's lowering of quantized functions gets its tables from this file."""
    return attribute(canonicalizations, "create_integer_lookup_table", table)


def table(
    function: Callable[[np.ndarray], np.ndarray],
    input_scale: relay.Constant,
    input_zero_point: relay.Constant,
    output_scale: relay.Constant,
    output_zero_point: relay.Constant,
    in_axis: int = -1,
    out_axis: int = -1,
    in_dtype: str = "uint8",
    out_dtype: str = "uint8",
) -> np.ndarray:
    """The table of `function`, (256,) of `out_dtype` for bytes, by the input read as unsigned. Halves go to even."""
    bits, limits = np.iinfo(in_dtype).bits, np.iinfo(out_dtype)
    steps = np.arange(2**bits).astype(f"uint{bits}").view(in_dtype).astype(np.float32)
    data = (steps - np.float32(number(input_zero_point))) * np.float32(number(input_scale))
    result = np.round(function(data).astype(np.float32) / np.float32(number(output_scale)))
    return np.clip(result + number(output_zero_point), limits.min, limits.max).astype(out_dtype)
