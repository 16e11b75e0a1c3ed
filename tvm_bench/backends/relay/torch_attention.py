"""Conversions of PyTorch's operators in transformers, for TVM's front end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relay
from tvm.relay.frontend.common import infer_shape, infer_type

from ...spec.errors import UserError


def dot_product_attention(inputs: list, types: list) -> relay.Expr:
    """`aten::scaled_dot_product_attention`: (..., M, D), (..., N, D), (..., N, D) -> (..., M, D).

    TVM's conversion takes no mask with more than two axes.
    """
    query, key, value, mask, dropout, causal, scale, *grouped = inputs
    if dropout or causal or any(grouped):
        raise UserError("Relay takes scaled_dot_product_attention only with a mask and a scale. Give --frontend onnx.")
    *outer, rows, depth = infer_shape(query)
    keys = infer_shape(key)[-2]
    scale = depth**-0.5 if scale is None else scale
    query, key, value = (relay.reshape(part, (-1, *infer_shape(part)[-2:])) for part in (query, key, value))
    scores = relay.reshape(relay.nn.batch_matmul(query * relay.const(scale), key), (*outer, rows, keys))
    if mask is not None:
        if infer_type(mask).checked_type.dtype == "bool":
            mask = relay.where(mask, relay.const(0.0), relay.const(-np.inf, "float32"))
        scores = scores + mask
    weights = relay.reshape(relay.nn.softmax(scores), (-1, rows, keys))
    result = relay.nn.batch_matmul(weights, relay.transpose(value, (0, 2, 1)))
    return relay.reshape(result, (*outer, rows, infer_shape(value)[-1]))


def roll(inputs: list, types: list) -> relay.Expr:
    """`aten::roll` by slices: TVM's conversion gathers numbers one by one, by an index as large as the data."""
    data, shifts, axes = inputs
    for shift, axis in zip(shifts, axes, strict=True):
        size = infer_shape(data)[axis]
        first = -shift % size
        parts = [relay.strided_slice(data, [begin], [end], axes=[axis]) for begin, end in ((first, size), (0, first))]
        data = relay.concatenate(parts, axis) if first else data
    return data


CONVERSIONS: dict[str, Callable] = {
    "aten::scaled_dot_product_attention": dot_product_attention,
    "aten::roll": roll,
}
