"""Recognizes attention in Relay: softmax between two products of batches of matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import relay
from tvm.topi.utils import get_const_tuple

from .calls import Shape, before_reshapes, is_reshape, name_of, shape_of
from .schedules import attention


@dataclass(frozen=True)
class Attention:
    """An attention in FP32, of expressions in the module where it was found.

    `query` is (B, M, D), `key` (B, N, D) or transposed, `value` (B, N, D) or transposed, `bias` as in `attention.call`.
    """

    query: relay.Expr
    key: relay.Expr
    value: relay.Expr
    bias: np.ndarray
    key_transposed: bool
    value_transposed: bool


def attention_of(call: relay.Expr) -> Attention | None:
    """The attention whose result is `call`; None if there is none, or not one for `attention.call`."""
    if not _is_product(call) or shape_of(call)[-1] % attention.LEAST:
        return None
    softmax = before_reshapes(call.args[0])
    if name_of(softmax) != "nn.softmax" or int(softmax.attrs.axis) not in (-1, len(shape_of(softmax)) - 1):
        return None
    batch, rows, keys = shape_of(call.args[0])
    bias, scores = np.zeros((1, 1, keys), np.float32), softmax.args[0]
    while not _is_product(scores):
        if not isinstance(scores, relay.Call) or shape_of(scores)[-2:] != (rows, keys):
            return None
        if is_reshape(scores):
            scores = scores.args[0]
            continue
        added = _added_constant(scores)
        if not added:
            return None
        bias = _sum(bias, _by_head(added[1], shape_of(scores)))
        scores = added[0]
    query, key = scores.args
    if shape_of(scores) != (batch, rows, keys) or shape_of(query)[-1] != shape_of(call)[-1]:
        return None
    value, value_transposed = call.args[1], bool(call.attrs.transpose_b)
    if value_transposed and name_of(value) == "transpose" and get_const_tuple(value.attrs.axes) == (0, 2, 1):
        value, value_transposed = value.args[0], False
    return Attention(query, key, value, bias, not scores.attrs.transpose_b, value_transposed)


def _by_head(constant: np.ndarray, shape: Shape) -> np.ndarray:
    """A constant that is added to scores of `shape` (..., M, N), as (G, M, N): row b of the batch has number b % G."""
    constant = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    repeated = next((i for i, size in enumerate(constant.shape[:-2]) if size > 1), len(shape) - 2)
    return np.broadcast_to(constant[(0,) * repeated], shape[repeated:]).reshape(-1, *shape[-2:])


def _sum(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    most = max(len(left), len(right))
    return np.tile(left, (most // len(left), 1, 1)) + np.tile(right, (most // len(right), 1, 1))


def _added_constant(expression: relay.Expr) -> tuple[relay.Expr, np.ndarray] | None:
    if name_of(expression) != "add":
        return None
    for value, constant in (expression.args, reversed(expression.args)):
        if isinstance(constant, relay.Constant) and shape_of(value) == shape_of(expression):
            return value, constant.data.numpy()
    return None


def _is_product(expression: relay.Expr) -> bool:
    """Whether it is a product of FP32 matrices (B, M, K) and (B, N, K) or (B, K, N)."""
    return (
        name_of(expression) == "nn.batch_matmul"
        and not expression.attrs.transpose_a
        and expression.checked_type.dtype == "float32"
        and len({shape_of(a)[0] for a in expression.args}) == 1
    )
