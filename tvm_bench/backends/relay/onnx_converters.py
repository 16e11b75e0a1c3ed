"""Conversions of ONNX operators to Relay that TVM 0.19 has wrongly."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
from tvm import relay
from tvm.relay.frontend import onnx as onnx_frontend
from tvm.relay.frontend.common import infer_type

from .schedules.override import attribute


def using() -> AbstractContextManager[None]:
    """While the context is open, TVM's front end converts by the functions of this file."""
    return attribute(onnx_frontend.Clip, "_impl_v11", classmethod(clip))


def clip(_: type, inputs: list, attributes: dict, parameters: dict) -> relay.Expr:
    """`Clip` with limits as inputs. TVM's own loses a constant lower limit that has no upper one beside it."""
    data, *given = inputs
    low, high = (*given, None, None)[:2]
    if any(limit is not None and not isinstance(limit, relay.Constant) for limit in (low, high)):
        result = data if low is None else relay.maximum(data, low)
        return result if high is None else relay.minimum(result, high)
    dtype = np.dtype(infer_type(data).checked_type.dtype)
    ends = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    limits = [end if limit is None else limit.data.numpy().item() for limit, end in zip((low, high), ends, strict=True)]
    return relay.clip(data, float(min(limits)), float(limits[1]))  # the upper limit wins
