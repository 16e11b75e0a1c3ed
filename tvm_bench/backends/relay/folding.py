"""Computes constant expressions with NumPy, such as weights in another layout.

TVM's `FoldConstant` compiles a kernel for every constant expression, which takes most of the time of a build. After
this module, it finds only what is not in `OPERATORS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from .calls import as_pass, name_of

SHAPES = ("shape_of", "ndarray_size")  # constant for any argument; left to TVM


class Folding(ExprMutator):
    """Folds expressions that share parts: what was visited before is not visited again.

    `leftovers` says whether a visited expression is constant, and not in `OPERATORS`.
    """

    leftovers = False

    def visit(self, expression: relay.Expr) -> relay.Expr:
        return self.known(super().visit(expression))

    def known(self, expression: relay.Expr) -> relay.Expr:
        """The expression, which is folded and need not be visited again."""
        self.memo_map[expression] = expression
        return expression

    def visit_call(self, call: relay.Call) -> relay.Expr:
        arguments = [self.visit(argument) for argument in call.args]
        name = name_of(call)
        if name == "concatenate" and not _is_plain(arguments[0]):
            parts = [field.data.numpy() for field in arguments[0].fields]
            return relay.const(np.concatenate(parts, int(call.attrs.axis)), str(parts[0].dtype))
        if arguments and all(isinstance(argument, relay.Constant) for argument in arguments):
            value = OPERATORS.get(name, _unknown)(call.attrs, *(argument.data.numpy() for argument in arguments))
            if value is not None:
                return relay.const(np.ascontiguousarray(value).reshape(value.shape), str(value.dtype))
            self.leftovers = True
        self.leftovers |= name in SHAPES or not all(map(_is_plain, arguments))
        if all(map(_same, arguments, call.args)):
            return call
        return relay.Call(self.visit(call.op), arguments, call.attrs, call.type_args, call.span)

    def visit_tuple(self, values: relay.Tuple) -> relay.Expr:
        fields = [self.visit(field) for field in values.fields]
        return values if all(map(_same, fields, values.fields)) else relay.Tuple(fields, values.span)


FoldWithNumPy = as_pass(Folding)  # replaces calls of `OPERATORS` with constant arguments by their values


def _is_plain(expression: relay.Expr) -> bool:
    """Whether the expression is no tuple of constants, which TVM folds."""
    return not (isinstance(expression, relay.Tuple) and all(isinstance(f, relay.Constant) for f in expression.fields))


def _same(left: relay.Expr, right: relay.Expr) -> bool:
    return left.same_as(right)


def _unknown(attributes: Any, *arguments: np.ndarray) -> None:
    return None


def _cast(attributes: Any, data: np.ndarray) -> np.ndarray | None:
    try:
        return data.astype(attributes.dtype)
    except TypeError:  # bfloat16
        return None


def _transpose(attributes: Any, data: np.ndarray) -> np.ndarray:
    return data.transpose(None if attributes.axes is None else [int(axis) for axis in attributes.axes])


def _reshape(attributes: Any, data: np.ndarray) -> np.ndarray | None:
    shape = [int(size) for size in attributes.newshape]
    if min(shape, default=1) < -1 or attributes.allowzero:
        return None
    return data.reshape([size or data.shape[axis] for axis, size in enumerate(shape)])


def _expand_dims(attributes: Any, data: np.ndarray) -> np.ndarray:
    axis = int(attributes.axis)
    axis += data.ndim + 1 if axis < 0 else 0
    return data.reshape(data.shape[:axis] + (1,) * int(attributes.num_newaxis) + data.shape[axis:])


def _squeeze(attributes: Any, data: np.ndarray) -> np.ndarray:
    return data.squeeze(None if attributes.axis is None else tuple(int(axis) for axis in attributes.axis))


def _layout_transform(attributes: Any, data: np.ndarray) -> np.ndarray | None:
    """For layouts such as OIHW and OIHW4i16o: a letter for each axis, in lower case for a part of the axis."""
    before, after = _axes(attributes.src_layout), _axes(attributes.dst_layout)
    sizes = {letter: 1 for letter, _ in sorted(before) if letter.isupper()}
    for (letter, _), size in zip(before, data.shape, strict=True):
        sizes[letter.upper()] *= size
    parts = {letter: math.prod(part for name, part in after if name == letter.lower()) for letter in sizes}
    if any(size % parts[letter] for letter, size in sizes.items()):
        return None
    whole = data.transpose(_by_axis(before)).reshape(list(sizes.values()))
    order = _by_axis(after)
    split = [part or sizes[letter] // parts[letter] for letter, part in (after[place] for place in order)]
    return whole.reshape(split).transpose(np.argsort(order))


def _axes(layout: str) -> list[tuple[str, int]]:
    """`OIHW4i` as [("O", 0), ("I", 0), ("H", 0), ("W", 0), ("i", 4)]."""
    return [(letter, int(size or 0)) for size, letter in re.findall(r"(\d*)([A-Za-z])", layout)]


def _by_axis(axes: list[tuple[str, int]]) -> list[int]:
    """The positions of the axes in alphabetical order, each followed by its parts."""
    return sorted(range(len(axes)), key=lambda place: (axes[place][0].upper(), axes[place][0].islower(), place))


def _round(attributes: Any, data: np.ndarray) -> np.ndarray:
    """Halves go away from zero, unlike NumPy's."""
    whole = np.trunc(data)
    return whole + np.sign(data) * (np.abs(data - whole) >= 0.5)


def _clip(attributes: Any, data: np.ndarray) -> np.ndarray:
    return np.clip(data, attributes.a_min, attributes.a_max).astype(data.dtype)


def _sum(attributes: Any, data: np.ndarray) -> np.ndarray | None:
    """Of integers: the sum of floats depends on their order."""
    if data.dtype.kind == "f" or attributes.exclude:
        return None
    axes = None if attributes.axis is None else tuple(int(axis) for axis in attributes.axis)
    return data.sum(axes, data.dtype, keepdims=bool(attributes.keepdims))


def _strided_slice(attributes: Any, data: np.ndarray) -> np.ndarray | None:
    strides = [int(stride) for stride in attributes.strides or ()] or [1]
    if attributes.slice_mode != "end" or min(strides) < 1:
        return None
    begin, end = ([int(place) for place in places] for places in (attributes.begin, attributes.end))
    axes = range(len(begin)) if attributes.axes is None else [int(axis) % data.ndim for axis in attributes.axes]
    slices = [slice(None)] * data.ndim
    for axis, first, last, stride in zip(axes, begin, end, strides * (len(begin) // len(strides)), strict=True):
        slices[axis] = slice(first, last, stride)
    return data[tuple(slices)]


def _where(attributes: Any, condition: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.where(condition, left, right)


def _take(attributes: Any, data: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
    """Of indices that are in the data: what others mean depends on the mode."""
    axis = attributes.axis
    if axis is None or attributes.batch_dims or (indices < 0).any() or (indices >= data.shape[int(axis)]).any():
        return None
    return np.take(data, indices, int(axis))


OPERATORS: dict[str, Callable[..., np.ndarray | None]] = {
    "add": lambda _, left, right: left + right,
    "subtract": lambda _, left, right: left - right,
    "multiply": lambda _, left, right: left * right,
    "maximum": lambda _, left, right: np.maximum(left, right),
    "minimum": lambda _, left, right: np.minimum(left, right),
    "less": lambda _, left, right: left < right,
    "where": _where,
    "strided_slice": _strided_slice,
    "take": _take,
    "copy": lambda _, data: data,
    "clip": _clip,
    "round": _round,
    "sum": _sum,
    "negative": lambda _, data: -data,
    "sqrt": lambda _, data: np.sqrt(data) if data.dtype.kind == "f" else None,
    "divide": lambda _, left, right: left / right if left.dtype.kind == "f" else None,
    "zeros_like": lambda _, data: np.zeros_like(data),
    "ones_like": lambda _, data: np.ones_like(data),
    "cast": _cast,
    "transpose": _transpose,
    "reshape": _reshape,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "layout_transform": _layout_transform,
}
