"""Blocks of channels: convolutions read and write (N, blocks, H, W, channels of a block), and all between them too.

So the last axis fills a vector. A last block that is not full has channels that nobody reads. Values are converted to
plain NCHW only where an operator needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tvm
from tvm import relax, te, topi
from tvm.relax.expr_functor import PyExprMutator, mutator

from . import packing, winograd
from .constants import Constants, name_of
from .convolution import Window, convolve, convolve_each, convolve_integers
from .kernels import DEPTHWISE, DIRECT, DOTS, WINOGRAD, Layer
from .packing import filled

POINTWISE = {  # operators on single values, by the functions that make them
    "relax.add": relax.op.add,
    "relax.subtract": relax.op.subtract,
    "relax.multiply": relax.op.multiply,
    "relax.divide": relax.op.divide,
    "relax.maximum": relax.op.maximum,
    "relax.minimum": relax.op.minimum,
    "relax.nn.relu": relax.op.nn.relu,
    "relax.tanh": relax.op.tanh,
}
CLIPS = {"maximum": relax.op.maximum, "minimum": relax.op.minimum}  # kernels that the front end makes of a clip
FEW = 4  # channels of an image, which are not blocked
DOT = 4  # products that an instruction for integers adds up
PIXEL = Window((1, 1), (1, 1), (0, 0, 0, 0))  # that of a filter of one pixel


@dataclass(frozen=True)
class Quantized:
    """Integer `data` with its scale and zero point, and int8 `weights` with their scales."""

    data: relax.Expr
    scale: float
    zero: int
    weights: np.ndarray
    scales: np.ndarray


@tvm.transform.module_pass(opt_level=0, name="Blocked")
class Blocked:
    """Puts `block` channels at a time into blocks: for convolutions, and for the operators between them.

    With `dots`, the CPU has instructions for dot products of 8-bit integers, and quantized convolutions use them.
    Afterwards, `layers` has the convolutions by the names of their kernels.
    """

    def __init__(self, block: int, dots: bool):
        self.block, self.dots = block, dots
        self.layers: dict[str, Layer] = {}

    def transform_module(self, module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
        """The module with its function `main` blocked."""
        blocked = _Blocked(module, self.block, self.dots)
        blocked.builder_.update_func(module.get_global_var("main"), blocked.visit_expr(module["main"]))
        self.layers = blocked.layers
        return blocked.builder_.get()


@mutator
class _Blocked(PyExprMutator):
    def __init__(self, module: tvm.IRModule, block: int, dots: bool):
        super().__init__(module)
        self.block, self.dots = block, dots
        self.blocked: dict[relax.Var, relax.Expr] = {}  # the blocked value of a variable
        self.dequantized: dict[relax.Var, relax.Call] = {}  # the call that made it
        self.layers: dict[str, Layer] = {}  # by the names of kernels
        self.transposed: dict[relax.Var, relax.Expr] = {}  # the matrix that a variable is the transpose of
        self.constants = Constants()

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        """Note the blocked value instead of a binding, if there is one; it is unpacked where it is needed."""
        call = binding.value
        if isinstance(call, relax.Call):
            self._note(binding.var, call)
        value = self._blocked_call(call) if isinstance(call, relax.Call) else None
        dense = self._dense(call) if name_of(call) == "relax.matmul" else None
        if dense is not None:
            emit = self.builder_.emit if isinstance(binding.var, relax.DataflowVar) else self.builder_.emit_output
            self.set_var_remap(binding.var, emit(dense))
        elif value is None:
            super().visit_var_binding_(binding)
        elif not isinstance(binding.var, relax.DataflowVar):  # an output of the model
            self.blocked[binding.var] = self.builder_.emit(value)
            self.set_var_remap(binding.var, self.builder_.emit_output(self._plain(binding.var)))
        elif name_of(value) == "relax.dequantize":  # computed where it is needed, and not kept in memory
            self.dequantized.setdefault(binding.var, value)
            self.blocked[binding.var] = self.builder_.normalize(value)
        else:
            self.blocked[binding.var] = self.builder_.emit(value)

    def _note(self, variable: relax.Var, call: relax.Call) -> None:
        self.constants.add(variable, call)
        if name_of(call) == "relax.dequantize":
            self.dequantized[variable] = call
        elif name_of(call) == "relax.permute_dims" and len(call.ty.shape) == 2:
            self.transposed[variable] = call.args[0]

    def visit_dataflow_var_(self, var: relax.Var) -> relax.Expr:
        """A variable that an operator needs as plain NCHW."""
        return self._plain(var) if var in self.blocked else super().visit_dataflow_var_(var)

    def _blocked_call(self, call: relax.Call) -> relax.Expr | None:
        name = name_of(call)
        if name == "relax.nn.conv2d":
            return self._convolution(call)
        if name in ("relax.nn.max_pool2d", "relax.nn.avg_pool2d") and call.args[0] in self.blocked:
            return self._pool(call, name.removeprefix("relax.nn."))
        if name == "relax.sigmoid" and call.args[0] in self.blocked:
            return self.builder_.call_te(packing.sigmoid, self.blocked[call.args[0]], primfunc_name_hint="sigmoid")
        if name == "relax.clip" and call.args[0] in self.blocked:
            return relax.op.clip(self.blocked[call.args[0]], *call.args[1:])
        if name in ("relax.quantize", "relax.dequantize") and call.args[0] in self.blocked:
            return self._cast(call)
        if name in POINTWISE:
            return self._pointwise(call.args, POINTWISE[name])
        if name == "relax.call_tir" and (make := CLIPS.get(call.args[0].name_hint.rstrip("0123456789"))):
            return self._pointwise(call.args[1].fields, make)
        return None

    def _convolution(self, call: relax.Call) -> relax.Expr | None:
        attrs, (data, weight) = call.attrs, call.args
        array, groups = self.constants.array(weight), int(attrs.groups)
        if array is None or (attrs.data_layout, attrs.kernel_layout) != ("NCHW", "OIHW") or array.dtype != np.float32:
            return None
        if groups == array.shape[0] and array.shape[1] == 1:
            return self._each_channel(call, array)
        if groups != 1:
            return None
        if (result := self._integers(call)) is not None:
            return result
        window = _window(call)
        if winograd.pays(list(map(int, data.ty.shape)), array.shape, window, self.block):
            packed = winograd.weights(array, self.block)
            return self._emit(
                Layer.of(call, WINOGRAD), partial(winograd.convolve, window=window), self._pack(data), packed
            )
        few = array.shape[1] <= FEW
        values = self.visit_expr(data) if few else self._pack(data)
        packed = packing.weights(array, array.shape[1] if few else self.block, self.block)
        return self._emit(Layer.of(call, DIRECT), partial(convolve, window=window), values, packed)

    def _each_channel(self, call: relax.Call, weights: np.ndarray) -> relax.Expr:
        """A depthwise convolution, which reads quantized data as integers, and computes in floats."""
        compute = partial(convolve_each, window=_window(call))
        data = call.args[0]
        if integers := self._integers_of(data):
            data, scale, zero = integers
            compute, weights = partial(compute, zero=zero), weights * np.float32(scale)
        packed = packing.weights_of_each(weights, self.block)
        return self._emit(Layer.of(call, DEPTHWISE), compute, self._pack(data), packed)

    def _integers_of(self, data: relax.Expr) -> tuple[relax.Expr, float, int] | None:
        """The integers that `data` was dequantized from, their scale and zero point; None unless they have one."""
        if data not in self.dequantized:
            return None
        integers, *parameters = self.dequantized[data].args
        arrays = self.constants.arrays(*parameters)
        if arrays is None or arrays[0].size != 1:
            return None
        return integers, float(arrays[0]), int(arrays[1])

    def _integers(self, call: relax.Call) -> relax.Expr | None:
        """A convolution of quantized data and weights by dot products of integers; None if they have none."""
        quantized = self._quantized(*call.args)
        if quantized is None:
            return None
        array, data = quantized.weights, quantized.data
        inner = DOT if array.shape[1] <= DOT and data not in self.blocked else self.block
        return self._dots(Layer.of(call, DOTS), _window(call), self._pack(data, inner), quantized, inner)

    def _dense(self, call: relax.Call) -> relax.Expr | None:
        """A product of quantized rows and weights, as a convolution of images of one pixel."""
        quantized = self._quantized(call.args[0], self.transposed.get(call.args[1]))
        if quantized is None or quantized.weights.ndim != 2 or len(quantized.data.ty.shape) != 2:
            return None
        count, inputs = map(int, quantized.data.ty.shape)
        outputs = len(quantized.weights)
        image = self.builder_.emit(relax.op.reshape(self.visit_expr(quantized.data), (count, inputs, 1, 1)))
        values = self.builder_.emit_te(packing.packed, image, self.block, primfunc_name_hint="pack")
        pixels = replace(quantized, weights=quantized.weights[..., None, None])
        layer = Layer.of_product(inputs, outputs, count)
        result = self.builder_.emit(self._dots(layer, PIXEL, values, pixels, self.block))
        rows = self.builder_.emit_te(packing.unpacked, result, outputs, primfunc_name_hint="unpack")
        return relax.op.reshape(rows, (count, outputs))

    def _quantized(self, data: relax.Expr, weight: relax.Expr | None) -> Quantized | None:
        """The integers of dequantized data and weights; None if there are none, or no instructions for them."""
        integers, weights = self._integers_of(data), self.dequantized.get(weight)
        arrays = self.constants.arrays(*weights.args) if weights is not None else None
        if not self.dots or not integers or arrays is None or arrays[0].dtype != np.int8 or arrays[2].any():
            return None
        return Quantized(*integers, arrays[0], arrays[1])

    def _dots(self, layer: Layer, window: Window, values: relax.Expr, quantized: Quantized, inner: int) -> relax.Call:
        """A convolution of packed integers, in floats after it."""
        array, offset = quantized.weights, quantized.zero
        if quantized.data.ty.dtype == "int8":
            values = self.builder_.emit_te(packing.unsigned, values, primfunc_name_hint="unsigned")
            offset += packing.UNSIGNED
        packed = packing.weights_of_dots(array, inner, self.block, DOT)
        result = self._emit(layer, partial(convolve_integers, window=window, zero=offset), values, packed)
        sums = array.sum(axis=(1, 2, 3), dtype=np.int64)
        factors = np.broadcast_to(quantized.scale * quantized.scales, sums.shape)
        result = relax.op.multiply(relax.op.astype(result, "float32"), self._each(factors))
        return relax.op.add(result, self._each(-offset * sums * factors)) if offset else result

    def _emit(self, layer: Layer, compute: Callable, values: relax.Expr, weights: np.ndarray) -> relax.Call:
        """The call of the kernel of a layer."""
        constant = relax.const(np.ascontiguousarray(weights))
        emitted = self.builder_.call_te(compute, values, constant, primfunc_name_hint="conv2d")
        self.layers[emitted.args[0].name_hint] = layer
        return emitted

    def _each(self, array: np.ndarray) -> relax.Expr:
        """A constant for each channel of blocked data."""
        return relax.const(filled(array.astype(np.float32), 0, self.block).reshape(1, -1, 1, 1, self.block))

    def _pool(self, call: relax.Call, kind: str) -> relax.Expr:
        attrs = call.attrs
        sizes = [list(map(int, values)) for values in (attrs.pool_size, attrs.strides, attrs.dilation, attrs.padding)]

        def compute(tensor: te.Tensor) -> te.Tensor:
            return topi.nn.pool2d(
                tensor, *sizes, kind.partition("_")[0], bool(attrs.ceil_mode), f"NCHW{self.block}c",
                bool(attrs.count_include_pad),
            )  # fmt: skip

        if kind == "max_pool2d" and call.args[0] in self.dequantized:  # the largest integer is the largest value
            quantized, scale, zero = self.dequantized[call.args[0]].args
            pooled = self.builder_.emit_te(compute, self.blocked[quantized], primfunc_name_hint=kind)
            self.blocked[pooled] = pooled
            return relax.op.dequantize(pooled, scale, zero, axis=-1, out_dtype="float32")
        return self.builder_.call_te(compute, self.blocked[call.args[0]], primfunc_name_hint=kind)

    def _cast(self, call: relax.Call) -> relax.Expr | None:
        """A quantization or its inverse, with one scale for the tensor."""
        value, parameters = self.blocked[call.args[0]], self.constants.arrays(*call.args[1:])
        if parameters is None or parameters[0].size != 1:
            return None
        if name_of(call) == "relax.dequantize":
            return relax.op.dequantize(value, *call.args[1:], axis=-1, out_dtype=call.attrs.out_dtype)
        if (same := self._requantized(call)) is not None:
            return same
        scale, zero = parameters
        return self.builder_.call_te(
            packing.quantized, value, float(scale), int(zero), str(call.attrs.out_dtype), primfunc_name_hint="quantize"
        )

    def _requantized(self, call: relax.Call) -> relax.Expr | None:
        """The integers that `call` gives back if it quantizes what it dequantized before, by the same scale."""
        if name_of(call) != "relax.quantize" or (before := self.dequantized.get(call.args[0])) is None:
            return None
        same = all(
            self.constants.array(new) == self.constants.array(old)
            for new, old in zip(call.args[1:], before.args[1:], strict=True)
        )
        return self.blocked[before.args[0]] if same and before.args[0].ty.dtype == call.attrs.out_dtype else None

    def _pointwise(self, operands: Sequence[relax.Expr], make: Callable) -> relax.Expr | None:
        if not any(operand in self.blocked for operand in operands if isinstance(operand, relax.Var)):
            return None
        arguments = [self._operand(operand) for operand in operands]
        return None if any(argument is None for argument in arguments) else make(*arguments)

    def _operand(self, argument: relax.Expr) -> relax.Expr | None:
        """An operand of blocked values: blocked, or constants for each channel; None for any other shape."""
        if argument in self.blocked:
            return self.blocked[argument]
        if (array := self.constants.array(argument)) is None:
            return None
        if array.size == 1:
            return relax.const(array.reshape(()))
        shape = (1,) * (4 - array.ndim) + array.shape
        if shape[2:] != (1, 1) or shape[0] != 1:
            return None
        return self._each(array.reshape(-1))

    def _pack(self, data: relax.Expr, block: int | None = None) -> relax.Expr:
        if data in self.blocked:
            return self.blocked[data]
        return self.builder_.emit_te(
            packing.packed, self.visit_expr(data), block or self.block, primfunc_name_hint="pack"
        )

    def _plain(self, var: relax.Var) -> relax.Expr:
        return self.builder_.emit_te(
            packing.unpacked, self.blocked[var], int(var.ty.shape[1]), primfunc_name_hint="unpack"
        )


def _window(call: relax.Call) -> Window:
    attrs = call.attrs
    return Window(*(tuple(map(int, sizes)) for sizes in (attrs.strides, attrs.dilation, attrs.padding)))
