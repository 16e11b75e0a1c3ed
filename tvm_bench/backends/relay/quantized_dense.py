"""Products of quantized data with a matrix, as of a linear layer without bias: TVM 0.19 needs the number of outputs.

Its ONNX front end gives none for MatMul, and the lowering ends with a segmentation fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tvm import relay
from tvm.relay.frontend.common import infer_shape

from .quantized_clip import replaced_rule


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM's `FakeQuantizationToInteger` knows the number of outputs of every product."""
    with replaced_rule("nn.dense", _dense):
        yield


def _dense(call: relay.Call, types: Mapping[relay.Expr, Any], tvms: Callable) -> Any:
    data, weight = call.args
    return tvms(relay.nn.dense(data, weight, units=infer_shape(weight)[0], out_dtype=call.attrs.out_dtype), types)
