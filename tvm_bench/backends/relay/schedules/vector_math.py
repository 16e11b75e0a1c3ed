"""exp, sigmoid, tanh and erf of float32 in vector arithmetic.

TVM 0.19 leaves `exp` to LLVM and `erf` to the C library, which compute the elements of a vector one by one. The rules
here replace them when TVM lowers TIR, so that they also hold for what is made of them: SiLU, softmax, GELU.

| function | largest error | source of the method |
| --- | --- | --- |
| `exp` | 2e-7, relative | reduction by multiples of log(2), then a polynomial (Cody and Waite 1980) |
| `sigmoid` | 2e-7, absolute | 1 / (1 + exp(-x)) |
| `tanh` | 5e-7, absolute | rational function, fitted by least squares to the relative error |
| `erf` | 5e-7, absolute | the same |

`exp` is 0 where its value is no normal number (below -87.7), and infinite above 88.3. NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import log

import numpy as np
import tvm
from numpy.polynomial import Chebyshev, Polynomial
from tvm import tir

from .override import operator_attribute

LOG_2 = log(2.0)
# An exponent of 8 bits is 0 for the number 0, 255 for infinity.
BIAS, MANTISSA = 127, 23
# A multiple of this part of log(2) by an exponent is exact in float32.
LOG_2_HIGH = 0.693359375
POLYNOMIAL = Chebyshev.interpolate(np.exp, 6, [-LOG_2 / 2, LOG_2 / 2]).convert(kind=Polynomial).coef.tolist()
Rule = Callable[[tir.PrimExpr], tir.PrimExpr]


@contextmanager
def using() -> Iterator[None]:
    """While the context is open, TVM lowers the functions of float32 by the rules of this file."""
    with ExitStack() as stack:
        for name, rule in RULES.items():
            stack.enter_context(operator_attribute(f"tir.{name}", "llvm.FLowerIntrinsic", _for_float32(name, rule)))
        stack.enter_context(operator_attribute("tir.erf", "TVectorizable", True))
        yield


def exp(x: tir.PrimExpr) -> tir.PrimExpr:
    """e to the power of `x`."""
    x = _limited(x, -BIAS * LOG_2, (BIAS + 1) * LOG_2)
    power = tir.nearbyint(x * _number(1 / LOG_2, x))
    rest = x - power * _number(LOG_2_HIGH, x) - power * _number(LOG_2 - LOG_2_HIGH, x)
    integers = x.dtype.replace("float", "int")
    exponent = (power.astype(integers) + tir.const(BIAS, integers)) << tir.const(MANTISSA, integers)
    return _polynomial(POLYNOMIAL, rest) * tir.call_intrin(x.dtype, "tir.reinterpret", exponent)


def sigmoid(x: tir.PrimExpr) -> tir.PrimExpr:
    """1 / (1 + exp(-x))."""
    one = _number(1.0, x)
    return one / (one + exp(_number(0.0, x) - x))


def tanh(x: tir.PrimExpr) -> tir.PrimExpr:
    """The hyperbolic tangent of `x`."""
    above = (1.0, 0.136808518, 0.00386950221, 2.80311972e-05, 3.06422667e-08, -1.22460642e-11)
    below = (1.0, 0.470141839, 0.0272501353, 0.000394070329, 1.28902731e-06)
    return _odd_rational(above, below, _limited(x, -9.0, 9.0))


def erf(x: tir.PrimExpr) -> tir.PrimExpr:
    """The error function of `x`."""
    above = (1.12837909, 0.207126216, 0.0515250097, 0.00399061479, 0.000147287674, -1.94232179e-06, 1.91109518e-08)
    below = (1.0, 0.516892077, 0.117971146, 0.014958153, 0.00102112356)
    return _odd_rational(above, below, _limited(x, -4.0, 4.0))


RULES: dict[str, Rule] = {"exp": exp, "sigmoid": sigmoid, "tanh": tanh, "erf": erf}


def _for_float32(name: str, rule: Rule) -> Rule:
    """The `rule` for vectors and scalars of float32, and TVM's for other types."""
    tvms = tvm.ir.Op.get(f"tir.{name}").get_attr("llvm.FLowerIntrinsic") or (lambda call: call)

    def lowered(call: tir.PrimExpr) -> tir.PrimExpr:
        return rule(call.args[0]) if str(call.dtype).startswith("float32") else tvms(call)

    return lowered


def _limited(x: tir.PrimExpr, low: float, high: float) -> tir.PrimExpr:
    """`x` within limits; NaN stays NaN, because a comparison with it is false and selects the second argument."""
    return tir.Max(_number(low, x), tir.Min(_number(high, x), x))


def _odd_rational(above: Sequence[float], below: Sequence[float], x: tir.PrimExpr) -> tir.PrimExpr:
    """x * above(x * x) / below(x * x)."""
    return x * _polynomial(above, x * x) / _polynomial(below, x * x)


def _polynomial(coefficients: Sequence[float], x: tir.PrimExpr) -> tir.PrimExpr:
    """The polynomial with these coefficients, the constant one first, by Horner's rule."""
    *rest, value = (_number(coefficient, x) for coefficient in coefficients)
    for coefficient in reversed(rest):
        value = value * x + coefficient
    return value


def _number(value: float, like: tir.PrimExpr) -> tir.PrimExpr:
    return tir.const(float(value), like.dtype)
