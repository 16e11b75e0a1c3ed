"""Conversions of PyTorch's operators in transformers, for TVM's front end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relay
from tvm.relay.frontend.common import infer_shape, infer_type

from ...spec.errors import UserError


def multi_head_attention(inputs: list, types: list) -> tuple[relay.Expr, relay.Expr]:
    """`aten::_native_multi_head_attention`, of `nn.MultiheadAttention` in evaluation mode, which TVM 0.19 lacks.

    (B, T, E) -> (B, T, E), and a constant in place of its weights.
    """
    query, key, value, _, heads, *weights = inputs[:9]
    if not (query is key is value) or inputs[9] is not None or inputs[10]:
        raise UserError(
            "Relay takes nn.MultiheadAttention only as self-attention, without a mask and without need_weights. "
            "Give --frontend onnx."
        )
    return _self_attention(query, heads, *weights), relay.const(0.0)


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
    "aten::_native_multi_head_attention": multi_head_attention,
    "aten::scaled_dot_product_attention": dot_product_attention,
    "aten::roll": roll,
}


def _self_attention(
    data: relay.Expr, heads: int, weight: relay.Expr, bias: relay.Expr, out_weight: relay.Expr, out_bias: relay.Expr
) -> relay.Expr:
    batch, tokens, width = infer_shape(data)
    depth = width // heads
    split = relay.reshape(_linear(data, weight, bias), (batch, tokens, 3, heads, depth))
    parts = relay.split(relay.transpose(split, (2, 0, 3, 1, 4)), 3, axis=0)
    query, key, value = (relay.reshape(part, (batch * heads, tokens, depth)) for part in parts)
    scores = relay.nn.batch_matmul(query * relay.const(depth**-0.5), key)
    result = relay.nn.batch_matmul(relay.nn.softmax(scores), relay.transpose(value, (0, 2, 1)))
    result = relay.transpose(relay.reshape(result, (batch, heads, tokens, depth)), (0, 2, 1, 3))
    return _linear(relay.reshape(result, (batch, tokens, width)), out_weight, out_bias)


def _linear(data: relay.Expr, weight: relay.Expr, bias: relay.Expr) -> relay.Expr:
    *outer, width = infer_shape(data)
    outputs = infer_shape(weight)[0]
    result = relay.nn.dense(relay.reshape(data, (-1, width)), weight)
    return relay.reshape(result, (*outer, outputs)) + bias
