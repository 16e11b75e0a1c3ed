"""Arguments of PyTorch's operators that TVM 0.19's front end ignores, and operators that it lacks.

They are computed here, or refused. Found by the sample inputs that PyTorch tests its operators with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from math import pi, prod, sqrt
from typing import Any

import numpy as np
from tvm import relay
from tvm.relay.frontend.common import infer_shape, infer_type
from tvm.relay.frontend.pytorch import PyTorchOpConverter

from . import torch_recurrent
from .schedules.override import attribute

Convert = Callable[[list, list], Any]  # of the inputs and their types


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM's front end converts by the functions of this file."""
    with ExitStack() as stack:
        for name, replacement in REPLACED.items():
            stack.enter_context(attribute(PyTorchOpConverter, name, replacement(getattr(PyTorchOpConverter, name))))
        yield


def _scaled_sum(add: Convert) -> Convert:
    """`aten::add` with its third input, by which the second one is multiplied."""

    def convert(inputs: list, types: list) -> relay.Expr:
        if len(inputs) > 2 and inputs[2] != 1:
            dtype = infer_type(inputs[1]).checked_type.dtype if isinstance(inputs[1], relay.Expr) else types[0]
            inputs = [inputs[0], relay.const(inputs[2], dtype) * _expression(inputs[1], dtype)]
        return add(inputs[:2], types[:2])

    return convert


def _expression(value: relay.Expr | float, dtype: str) -> relay.Expr:
    return value if isinstance(value, relay.Expr) else relay.const(value, dtype)


def _rounded_quotient(divide: Convert) -> Convert:
    """`aten::div` with its third input, the way of rounding. Of integers, the quotient is a float before that."""

    def convert(inputs: list, types: list) -> relay.Expr:
        rounding = inputs[2] if len(inputs) > 2 else None
        integers = all(map(_is_integer, inputs[:2]))
        if integers:
            inputs = [relay.cast(_expression(value, "int32"), "float32") for value in inputs[:2]]
        quotient = divide(inputs[:2], ["float32"] * 2 if integers else types[:2])
        if rounding is None:
            return quotient
        rounded = {"floor": relay.floor, "trunc": relay.trunc}[rounding](quotient)
        return relay.cast(rounded, "int64") if integers else rounded

    return convert


def _is_integer(value: relay.Expr | float) -> bool:
    if isinstance(value, relay.Expr):
        return "int" in infer_type(value).checked_type.dtype
    return isinstance(value, int)


ELEMENTWISE = {"add": _scaled_sum, "divide": _rounded_quotient}


def _elementwise(tvms: Callable) -> Callable:
    def make(self: PyTorchOpConverter, name: str) -> Convert:
        convert = tvms(self, name)
        return ELEMENTWISE[name](convert) if name in ELEMENTWISE else convert

    return make


def _variance(tvms: Callable) -> Callable:
    """Variances with a correction other than 0 and 1; TVM reads any as 1."""

    def convert(self: PyTorchOpConverter, inputs: list, types: list) -> Any:
        if len(inputs) == 2:  # the second one says whether the variance is unbiased
            return tvms(self, inputs, types)
        data, axes, correction, *rest = inputs
        if correction not in (None, 0, 1):
            raise NotImplementedError(f"a variance with a correction of {correction:g}")
        return tvms(self, [data, axes, correction != 0, *rest], types)

    return convert


def _instance_norm(tvms: Callable) -> Callable:
    """With running statistics, an instance norm is a batch norm."""

    def convert(self: PyTorchOpConverter, inputs: list, types: list) -> relay.Expr:
        if inputs[5]:
            return tvms(self, inputs, types)
        return self.batch_norm([*inputs[:5], False, *inputs[6:]], types)

    return convert


def _batch_norm(tvms: Callable) -> Callable:
    def convert(self: PyTorchOpConverter, inputs: list, types: list) -> relay.Expr:
        if inputs[5]:
            raise NotImplementedError("a batch norm by the statistics of the batch")
        return tvms(self, inputs, types)

    return convert


def _layer_norm(_tvms: Callable) -> Callable:
    """Over any number of last axes, with and without weights; TVM takes one axis, and weights."""

    def convert(_self: PyTorchOpConverter, inputs: list, _types: list) -> relay.Expr:
        data, axes, weight, bias, epsilon, *_ = inputs
        shape, size = infer_shape(data), prod(axes)
        scale = relay.ones((size,), "float32") if weight is None else weight
        shift = relay.zeros((size,), "float32") if bias is None else bias
        if len(axes) == 1:
            return relay.nn.layer_norm(data, scale, shift, epsilon=float(epsilon))
        rows = relay.reshape(data, (*shape[: -len(axes)], size))
        vectors = (relay.reshape(vector, (size,)) for vector in (scale, shift))
        return relay.reshape(relay.nn.layer_norm(rows, *vectors, epsilon=float(epsilon)), shape)

    return convert


def _gelu(tvms: Callable) -> Callable:
    """By `tanh`; TVM computes it by `erf` always."""

    def convert(self: PyTorchOpConverter, inputs: list, types: list) -> relay.Expr:
        if inputs[1:] != ["tanh"]:
            return tvms(self, inputs, types)
        x = inputs[0]
        inner = (x + x * x * x * relay.const(0.044715)) * relay.const(sqrt(2 / pi))
        return x * relay.const(0.5) * (relay.const(1.0) + relay.tanh(inner))

    return convert


def _average_pool(tvms: Callable) -> Callable:
    def make(self: PyTorchOpConverter, dimensions: int) -> Convert:
        pool = tvms(self, dimensions)

        def convert(inputs: list, types: list) -> relay.Expr:
            if len(inputs) > 6 and inputs[6] is not None:
                raise NotImplementedError("an average pool with divisor_override")
            return pool(inputs, types)

        return convert

    return make


def _resize(tvms: Callable) -> Callable:
    """TVM derives the scale from the sizes, as if they were never rounded."""

    def make(self: PyTorchOpConverter, method: str) -> Convert:
        resize = tvms(self, method)

        def convert(inputs: list, types: list) -> relay.Expr:
            # TVM appends the scale and the zero point of a quantized input; factors are a list, or the last two are.
            quantized = [type(value) for value in inputs[-2:]] == [float, int]
            given = inputs[2:-2] if quantized else inputs[2:]
            factors = np.array([f for value in given for f in _floats(value)])
            if factors.size:
                sizes = factors * infer_shape(inputs[0])[-len(factors) :]
                if not np.allclose(sizes, sizes.round()):
                    raise NotImplementedError(f"a resize with a scale_factor that gives fractions of pixels ({sizes})")
            return resize(inputs, types)

        return convert

    return make


def _floats(value: object) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, float)]


def _with_missing(tvms: Callable) -> Callable:
    """The table of conversions, with those of operators that TVM lacks."""

    def create(self: PyTorchOpConverter) -> None:
        tvms(self)
        self.convert_map |= {"aten::_convolution_mode": partial(_convolution_mode, self), "aten::mish": _mish}

    return create


def _convolution_mode(self: PyTorchOpConverter, inputs: list, types: list) -> relay.Expr:
    """A convolution with `padding="same"` or `"valid"`. An odd sum of paddings has the larger one at the end."""
    data, weight, bias, strides, mode, dilations, groups = inputs
    kernel = infer_shape(weight)[2:]
    totals = [d * (k - 1) if mode == "same" else 0 for d, k in zip(_each(dilations, kernel), kernel, strict=True)]
    if any(total % 2 for total in totals):
        data = relay.nn.pad(data, ((0, 0), (0, 0), *((0, total % 2) for total in totals)))
    padding = [total // 2 for total in totals]
    return self.convolution([data, weight, bias, strides, padding, dilations, False, [0] * len(kernel), groups], types)


def _each(values: list[int], axes: Sequence[int]) -> list[int]:
    return list(values) * len(axes) if len(values) == 1 else list(values)


def _mish(inputs: list, _types: list) -> relay.Expr:
    return inputs[0] * relay.tanh(relay.log(relay.const(1.0) + relay.exp(inputs[0])))


REPLACED: dict[str, Callable] = {
    "make_elemwise": _elementwise,
    **dict.fromkeys(("variance", "std", "var_mean"), _variance),
    "create_convert_map": _with_missing,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "gelu": _gelu,
    "make_avg_pool": _average_pool,
    **dict.fromkeys(("make_upsample", "make_upsample3d"), _resize),
    **torch_recurrent.REPLACED,
}
