"""Reads pickles of plain values and byte arrays, such as CIFAR's, without importing or running code that a file names.

`find_class` returns stand-ins for the four names that such files use. So NumPy's own unpickling, which trusts its
input, never sees the bytes.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ..spec.errors import UserError


def loads(data: bytes, where: str) -> Any:  # any plain value
    """Unpickle `data`; text that Python 2 wrote becomes bytes. Raises `UserError` for anything but plain values."""
    try:
        return _finished(_Restricted(io.BytesIO(data), encoding="bytes").load())
    except Exception as error:  # a damaged pickle can raise any exception
        raise UserError(
            f"{where} is damaged, or is no pickle of plain values ({type(error).__name__}: {error}). Nothing in it was "
            "run. Download the data set again, from its own site."
        ) from error


class _Dtype:
    """Stands in for `numpy.dtype`: only unsigned bytes are allowed."""

    def __init__(self, code: bytes | str, *_: object):
        if code not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of type {code!r}, not of bytes")

    def __setstate__(self, _: object) -> None:
        pass  # byte order and alignment, which do not matter for bytes


class _Array:
    """Stands in for an array until its state is read."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a type")
        self.value = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): None,  # an argument of `_reconstruct`, which ignores it
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ALLOWED[module, name]


def _finished(value: Any) -> Any:
    """`value`, with the stand-ins in a dictionary replaced by their arrays."""
    if isinstance(value, dict):
        return {key: item.value if isinstance(item, _Array) else item for key, item in value.items()}
    return value
