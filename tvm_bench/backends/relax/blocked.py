"""Blocks of channels: convolutions read and write (N, blocks, H, W, channels of a block), and all between them too.

So the last axis fills a vector. A last block that is not full has channels that nobody reads. Values are converted to
plain NCHW only where an operator needs it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tvm
from tvm import relax, te, tirx, topi
from tvm.relax.expr_functor import PyExprMutator, mutator

from .convolution import Window, convolve, convolve_each

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
FEW = 4  # channels of an image, which are not blocked


@tvm.transform.module_pass(opt_level=0, name="Blocked")
class Blocked:
    """Puts `block` channels at a time into blocks: for convolutions, and for the operators between them."""

    def __init__(self, block: int):
        self.block = block

    def transform_module(self, module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
        """The module with its function `main` blocked."""
        blocked = _Blocked(module, self.block)
        blocked.builder_.update_func(module.get_global_var("main"), blocked.visit_expr(module["main"]))
        return blocked.builder_.get()


@mutator
class _Blocked(PyExprMutator):
    def __init__(self, module: tvm.IRModule, block: int):
        super().__init__(module)
        self.block = block
        self.blocked: dict[relax.Var, relax.Expr] = {}  # the blocked value of a variable
        self.constants: dict[relax.Var, np.ndarray] = {}  # what the importer computes of constants

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        """Note the blocked value instead of a binding, if there is one; it is unpacked where it is needed."""
        call = binding.value
        if isinstance(call, relax.Call) and (constant := self._computed(call)) is not None:
            self.constants[binding.var] = constant
        value = self._blocked_call(call) if isinstance(call, relax.Call) else None
        if value is None:
            super().visit_var_binding_(binding)
        else:
            self.blocked[binding.var] = self.builder_.emit(value)

    def visit_dataflow_var_(self, var: relax.Var) -> relax.Expr:
        """A variable that an operator needs as plain NCHW."""
        return self._plain(var) if var in self.blocked else super().visit_dataflow_var_(var)

    def visit_var_(self, var: relax.Var) -> relax.Expr:
        """As `visit_dataflow_var_`."""
        return self._plain(var) if var in self.blocked else super().visit_var_(var)

    def _array(self, value: relax.Expr) -> np.ndarray | None:
        """The values of a constant; None for what is computed while the model runs."""
        return value.value.numpy() if isinstance(value, tvm.ir.GenericConst) else self.constants.get(value)

    def _computed(self, call: relax.Call) -> np.ndarray | None:
        """The result of a call that only reshapes or dequantizes a constant, as those of weights and biases."""
        name = getattr(call.op, "name", "")
        if name not in ("relax.reshape", "relax.dequantize") or (values := self._array(call.args[0])) is None:
            return None
        if name == "relax.reshape":
            return values.reshape([int(size) for size in call.ty.shape])
        scale, zero = map(self._array, call.args[1:])
        if scale is None or zero is None:
            return None
        shape = [1] * values.ndim
        if values.ndim:
            shape[int(call.attrs.axis)] = -1
        return (values.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)

    def _blocked_call(self, call: relax.Call) -> relax.Expr | None:
        name = getattr(call.op, "name", "")
        if name == "relax.nn.conv2d":
            return self._convolution(call)
        if name in ("relax.nn.max_pool2d", "relax.nn.avg_pool2d") and call.args[0] in self.blocked:
            return self._pool(call, name.removeprefix("relax.nn."))
        if name == "relax.sigmoid" and call.args[0] in self.blocked:
            return self.builder_.call_te(_sigmoid, self.blocked[call.args[0]], primfunc_name_hint="sigmoid")
        if name in ("relax.quantize", "relax.dequantize") and call.args[0] in self.blocked:
            return self._cast(call, getattr(relax.op, name.removeprefix("relax.")))
        if name in POINTWISE:
            return self._pointwise(call, POINTWISE[name])
        return None

    def _convolution(self, call: relax.Call) -> relax.Expr | None:
        attrs, (data, weight) = call.attrs, call.args
        array, groups = self._array(weight), int(attrs.groups)
        if array is None or (attrs.data_layout, attrs.kernel_layout) != ("NCHW", "OIHW"):
            return None
        outputs, inputs = array.shape[:2]
        window = Window(*(tuple(map(int, values)) for values in (attrs.strides, attrs.dilation, attrs.padding)))
        if array.dtype != np.float32:
            return None
        if groups == outputs and inputs == 1:
            array = self._filled(array, 0)
            packed = array.reshape(-1, self.block, *array.shape[2:]).transpose(0, 2, 3, 1)
            return self._emit(convolve_each, self._pack(data), packed, window, "depthwise_conv2d")
        if groups != 1:
            return None
        few = inputs <= FEW
        array = self._filled(array, 0) if few else self._filled(self._filled(array, 0), 1)
        inner = inputs if few else self.block
        packed = array.reshape(-1, self.block, array.shape[1] // inner, inner, *array.shape[2:])
        source = self.visit_expr(data) if few else self._pack(data)
        return self._emit(convolve, source, packed.transpose(0, 2, 4, 5, 3, 1), window, "conv2d")

    def _filled(self, array: np.ndarray, axis: int) -> np.ndarray:
        """The array with zeros at the end of an axis, so that its blocks are full."""
        pads = [(0, 0)] * array.ndim
        pads[axis] = (0, -array.shape[axis] % self.block)
        return np.pad(array, pads)

    def _emit(self, compute: Callable, data: relax.Expr, weight: np.ndarray, window: Window, name: str) -> relax.Call:
        constant = relax.const(np.ascontiguousarray(weight))
        return self.builder_.call_te(
            lambda *tensors: compute(*tensors, window), data, constant, primfunc_name_hint=name
        )

    def _pool(self, call: relax.Call, kind: str) -> relax.Expr:
        attrs, data = call.attrs, self.blocked[call.args[0]]
        sizes = [list(map(int, values)) for values in (attrs.pool_size, attrs.strides, attrs.dilation, attrs.padding)]

        def compute(tensor: te.Tensor) -> te.Tensor:
            return topi.nn.pool2d(
                tensor, *sizes, kind.partition("_")[0], bool(attrs.ceil_mode), f"NCHW{self.block}c",
                bool(attrs.count_include_pad),
            )  # fmt: skip

        return self.builder_.call_te(compute, data, primfunc_name_hint=kind)

    def _cast(self, call: relax.Call, make: Callable) -> relax.Expr | None:
        """A quantization or its inverse, with one scale for the tensor."""
        scale, zero = call.args[1:]
        if any((array := self._array(value)) is None or array.size != 1 for value in (scale, zero)):
            return None
        return make(self.blocked[call.args[0]], scale, zero, axis=-1, out_dtype=call.attrs.out_dtype)

    def _pointwise(self, call: relax.Call, make: Callable) -> relax.Expr | None:
        if not any(argument in self.blocked for argument in call.args if isinstance(argument, relax.Var)):
            return None
        arguments = [self._operand(argument) for argument in call.args]
        return None if any(argument is None for argument in arguments) else make(*arguments)

    def _operand(self, argument: relax.Expr) -> relax.Expr | None:
        """An operand of blocked values: blocked, or constants for each channel; None for any other shape."""
        if argument in self.blocked:
            return self.blocked[argument]
        if (array := self._array(argument)) is None:
            return None
        if array.size == 1:
            return relax.const(array.reshape(()))
        shape = (1,) * (4 - array.ndim) + array.shape
        if shape[2:] != (1, 1) or shape[0] != 1:
            return None
        return relax.const(self._filled(array.reshape(-1), 0).reshape(1, -1, 1, 1, self.block))

    def _pack(self, data: relax.Expr) -> relax.Expr:
        if data in self.blocked:
            return self.blocked[data]
        return self.builder_.emit_te(_packed, self.visit_expr(data), self.block, primfunc_name_hint="pack")

    def _plain(self, var: relax.Var) -> relax.Expr:
        return self.builder_.emit_te(_unpacked, self.blocked[var], int(var.ty.shape[1]), primfunc_name_hint="unpack")


def _sigmoid(data: te.Tensor) -> te.Tensor:
    """With TVM's polynomial for the exponential: the C library's takes one value at a time."""
    one = tirx.const(1, data.dtype)
    powers = topi.fast_exp(topi.negative(data))
    return te.compute(data.shape, lambda *place: one / (one + powers(*place)), name="sigmoid")


def _packed(data: te.Tensor, block: int) -> te.Tensor:
    batch, channels, *sizes = map(int, data.shape)

    def value(n: tirx.Var, c: tirx.Var, y: tirx.Var, x: tirx.Var, b: tirx.Var) -> tirx.Expr:
        channel = c * block + b
        if channels % block == 0:
            return data(n, channel, y, x)
        return tirx.if_then_else(channel < channels, data(n, channel, y, x), tirx.const(0, data.dtype))

    return te.compute((batch, -(-channels // block), *sizes, block), value, name="packed")


def _unpacked(data: te.Tensor, channels: int) -> te.Tensor:
    batch, _, *sizes, block = map(int, data.shape)
    return te.compute(
        (batch, channels, *sizes), lambda n, c, y, x: data(n, c // block, y, x, c % block), name="unpacked"
    )
