"""TVM's graph executor, called by TVM's C interface: all that a compiled library needs to run.

NumPy and the standard library only. `tvm-bench export` copies this file beside the library.
Source: tvm/runtime/c_runtime_api.h and dlpack.h of TVM 0.19.
"""

from __future__ import annotations

import ctypes
import os
import struct
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CPU = 1  # of `DLDeviceType`
SHARED_CPUS = -3  # of TVM's `AffinityMode`: no thread is bound to one CPU
# How TVM's threads wait, unless the environment says it. TVM's own defaults (bound, 300,000 looks for work before a
# thread sleeps) are far slower beside another busy program, and no faster on a calm machine (docs/results/busy.md).
THREADS = {"TVM_BIND_THREADS": "0", "TVM_THREAD_POOL_SPIN_COUNT": "1000"}
# Of `TVMArgTypeCode`.
INTEGER, DEVICE, TENSOR, OBJECT, MODULE, FUNCTION, TEXT, BYTES = 0, 6, 7, 8, 9, 10, 11, 12
TYPE_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # of `DLDataTypeCode`, by NumPy's kinds


class Device(ctypes.Structure):
    """`DLDevice`."""

    _fields_ = (("kind", ctypes.c_int), ("number", ctypes.c_int))


class DataType(ctypes.Structure):
    """`DLDataType`."""

    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class Tensor(ctypes.Structure):
    """`DLTensor`, whose values belong to a contiguous NumPy array."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("rank", ctypes.c_int),
        ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        """The tensor of `array`, which must outlive it."""
        dtype = DataType(TYPE_CODES[array.dtype.kind], 8 * array.itemsize, 1)
        return cls(array.ctypes.data, Device(CPU, 0), array.ndim, dtype, array.ctypes.shape_as(ctypes.c_int64))


class Value(ctypes.Union):
    """`TVMValue`."""

    _fields_ = (
        ("integer", ctypes.c_int64),
        ("handle", ctypes.c_void_p),
        ("text", ctypes.c_char_p),
        ("device", Device),
    )


class ByteArray(ctypes.Structure):
    """`TVMByteArray`."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class Handle:
    """An object, a module or a function that belongs to TVM until this is deleted."""

    def __init__(self, runtime: Runtime, handle: int, kind: int):
        self.runtime, self.handle, self.kind = runtime, handle, kind
        free = {OBJECT: "TVMObjectFree", MODULE: "TVMModFree", FUNCTION: "TVMFuncFree"}[kind]
        weakref.finalize(self, getattr(runtime.library, free), ctypes.c_void_p(handle)).atexit = False

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """A function of a module."""
        handle = ctypes.c_void_p()
        self.runtime.check("TVMModGetFunction", ctypes.c_void_p(self.handle), name.encode(), 0, ctypes.byref(handle))
        if not handle.value:
            raise RuntimeError(f"the library has no function '{name}'")
        return Handle(self.runtime, handle.value, FUNCTION)

    def __call__(self, *arguments: Any) -> Any:
        """Call a function."""
        return self.runtime.call(self.handle, arguments)


class Runtime:
    """TVM's runtime: the shared library at `path`."""

    def __init__(self, path: str):
        for name, value in THREADS.items():
            os.environ.setdefault(name, value)
        self.library = ctypes.CDLL(path)
        self.library.TVMGetLastError.restype = ctypes.c_char_p

    def check(self, name: str, *arguments: Any) -> None:
        """Call a function of the C interface. Raises `RuntimeError` with TVM's message."""
        if getattr(self.library, name)(*arguments):
            raise RuntimeError(self.library.TVMGetLastError().decode())

    def call(self, function: int, arguments: tuple[Any, ...]) -> Any:
        """Call a function of TVM with integers, texts, tensors, devices and handles."""
        values, codes = (Value * len(arguments))(), (ctypes.c_int * len(arguments))()
        for i, argument in enumerate(arguments):
            match argument:
                case int():
                    values[i].integer, codes[i] = argument, INTEGER
                case str():
                    values[i].text, codes[i] = argument.encode(), TEXT
                case Device():
                    values[i].device, codes[i] = argument, DEVICE
                case Tensor():
                    values[i].handle, codes[i] = ctypes.addressof(argument), TENSOR
                case Handle():
                    values[i].handle, codes[i] = argument.handle, argument.kind
        value, code = Value(), ctypes.c_int()
        pointers = ctypes.byref(value), ctypes.byref(code)
        self.check("TVMFuncCall", ctypes.c_void_p(function), values, codes, len(arguments), *pointers)
        if code.value in (OBJECT, MODULE, FUNCTION):
            return Handle(self, value.handle, code.value)
        if code.value == BYTES:
            content = ByteArray.from_address(value.handle)
            return ctypes.string_at(content.data, content.size)
        return value.integer if code.value == INTEGER else None

    def function(self, name: str) -> Callable[..., Any]:
        """A function that the runtime itself has."""
        handle = ctypes.c_void_p()
        self.check("TVMFuncGetGlobal", name.encode(), ctypes.byref(handle))
        return lambda *arguments: self.call(handle.value or 0, arguments)

    def use_threads(self, count: int) -> None:
        """Run with this number of threads. Without a call, TVM takes half as many as there are logical cores."""
        text, array = self.function("runtime.String"), self.function("runtime.Array")
        cpus = [text(str(number)) for number in os.sched_getaffinity(0)]  # only with a list, TVM starts more
        self.function("runtime.config_threadpool")(SHARED_CPUS, count, array(*cpus))


class GraphExecutor:
    """The model in a compiled library, which may be opened only after its manifest was verified."""

    def __init__(self, runtime: Runtime, library: Path):
        self.runtime = runtime
        factory = runtime.function("runtime.ModuleLoadFromFile")(str(library), "so")
        self.module = factory["default"](Device(CPU, 0))
        self.set_input, self.get_output, self.run = (self.module[n] for n in ("set_input", "get_output", "run"))

    def __call__(self, inputs: tuple[np.ndarray, ...], outputs: tuple[np.ndarray, ...]) -> None:
        """Run the model on `inputs`, and write its results to `outputs`, which have their shapes and dtypes."""
        contiguous = [np.ascontiguousarray(array) for array in inputs]
        for i, array in enumerate(contiguous):
            self.set_input(i, Tensor.of(array))
        self.run()
        for i, array in enumerate(outputs):
            self.get_output(i, Tensor.of(array))

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by TVM's clock."""
        options = {"number": 1, "repeat": runs, "min_repeat_ms": 0, "limit_zero_time_iterations": 100}
        pauses = {"cooldown_interval_ms": 0, "repeats_to_cooldown": 1, "cache_flush_bytes": 0}
        create = self.runtime.function("runtime.RPCTimeEvaluator")
        clock = create(self.module, "run", CPU, 0, *options.values(), *pauses.values(), "")
        return [1e3 * seconds for seconds in struct.unpack(f"@{runs}d", clock())]
