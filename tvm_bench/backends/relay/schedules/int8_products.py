"""Exact INT8 products with constant weights: dot products of four bytes, or of two int16 values.

A CPU without VNNI multiplies bytes by `vpmaddubsw`, whose sums of two products have 16 bits. It is used where the
weights keep these sums in range, as those of 7 bits do. Elsewhere weights and data are widened to int16, which takes
twice as many instructions.
"""

from __future__ import annotations

import tvm
from tvm import relay, te

from . import int8_dot, int16_dot
from .int8_dot import Kind

WIDENED = "widened"


def weights_for(weights: relay.Expr) -> tuple[relay.Expr, int]:
    """The weights (O, I, ...) of int8 as the current target needs them, and the number of values in a dot product."""
    fit = isinstance(weights, relay.Constant) and int8_dot.pairs_fit(weights.data.numpy())
    if fit or int8_dot.has_vnni():
        return weights, int8_dot.BYTES
    return relay.cast(weights, "int16"), int16_dot.PAIR


def data_for(data: te.Tensor, weights: te.Tensor) -> te.Tensor:
    """The data of uint8 as these weights need it: a stage that is to be inlined, or computed where it is read."""
    if weights.dtype != "int16":
        return data
    return te.compute(data.shape, lambda *place: data(*place).astype("int16"), name=WIDENED)


def inline_widening(s: te.Schedule, padded: te.Tensor) -> None:
    """Inline the stage of `data_for` where padding reads it."""
    for before in padded.op.input_tensors:
        if before.op.name == WIDENED:
            s[before].compute_inline()


def te_intrinsic(kind: Kind, dtype: str) -> tvm.ir.TensorIntrin:
    """The intrinsic for data of `dtype`, with weights of `weights_for`."""
    return int16_dot.te_intrinsic(kind) if dtype == "int16" else int8_dot.te_intrinsic(kind, pairs=True)
