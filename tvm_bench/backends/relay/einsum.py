"""Writes `einsum` of two tensors as a product of batches of matrices, which has fast schedules and fuses to attention.

TVM 0.19's own schedule for `einsum` sums one number at a time.
"""

from __future__ import annotations

from math import prod

from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, name_of, shape_of


@as_pass
class EinsumsAsProducts(ExprMutator):
    """Writes `einsum` as `nn.batch_matmul` where each letter is in two of left, right and output. Needs types."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "einsum" or not isinstance(call.args[0], relay.Tuple) or len(call.args[0].fields) != 2:
            return new
        letters = _letters(str(call.attrs.equation))
        sizes = _sizes(letters[:2], [shape_of(tensor) for tensor in call.args[0].fields]) if letters else None
        return _product(new.args[0].fields, letters, sizes, call.checked_type.dtype) if sizes else new


def _letters(equation: str) -> list[str]:
    """The letters of both tensors and of the output; empty if they do not make a matrix product."""
    inputs, _, out = equation.replace(" ", "").partition("->")
    left, right = inputs.split(",")
    parts = [left, right, out]
    distinct = all(part.isalpha() and len(set(part)) == len(part) for part in parts)
    summed = set(left) & set(right) - set(out)
    return parts if distinct and summed and set(left) ^ set(right) <= set(out) <= set(left + right) else []


def _sizes(parts: list[str], shapes: list[tuple[int, ...]]) -> dict[str, int] | None:
    """The size of each letter; None if one is stretched from 1."""
    pairs = {pair for part, shape in zip(parts, shapes, strict=True) for pair in zip(part, shape, strict=True)}
    sizes = dict(pairs)
    return sizes if len(sizes) == len(pairs) else None


def _product(tensors: list[relay.Expr], letters: list[str], sizes: dict[str, int], dtype: str) -> relay.Expr:
    left, right, out = letters
    batch = [letter for letter in out if letter in left and letter in right]
    rows = [letter for letter in out if letter not in right]
    columns = [letter for letter in out if letter not in left]
    summed = [letter for letter in left if letter not in out]
    transposed = right[-1] in summed  # the second matrix is read in the order in which it lies
    first, second = [batch, rows, summed], [batch, columns, summed] if transposed else [batch, summed, columns]
    matrices = [_matrices(*each, sizes) for each in zip(tensors, (left, right), (first, second), strict=True)]
    product = relay.nn.batch_matmul(*matrices, out_dtype=dtype, transpose_b=transposed)
    order = batch + rows + columns
    return relay.transpose(relay.reshape(product, [sizes[x] for x in order]), [order.index(x) for x in out])


def _matrices(tensor: relay.Expr, letters: str, axes: list[list[str]], sizes: dict[str, int]) -> relay.Expr:
    """The tensor as (batch, rows, columns), with the letters of each of `axes`."""
    ordered = relay.transpose(tensor, [letters.index(letter) for axis in axes for letter in axis])
    return relay.reshape(ordered, [prod(sizes[letter] for letter in axis) for axis in axes])
