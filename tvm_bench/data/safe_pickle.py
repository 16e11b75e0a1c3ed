"""Pickles of plain values and byte arrays, as Python 2 wrote CIFAR's. No code that a file names is imported or run.

`find_class` gives stand-ins for the four names that such files use, so that not even NumPy's own unpickling, which
trusts what it reads, sees the bytes.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ..spec.errors import UserError


def loads(data: bytes, where: str) -> Any:  # whatever plain value the file holds
    """Unpickle `data`; text that Python 2 wrote is given as bytes. Raises `UserError` for all but plain values."""
    try:
        return _finished(_Restricted(io.BytesIO(data), encoding="bytes").load())
    except Exception as error:  # a damaged pickle can raise any exception that there is
        raise UserError(
            f"{where} is damaged, or is no pickle of plain values ({type(error).__name__}: {error}). Nothing in it was "
            "run. Get the data set again, from its own site."
        ) from error


class _Dtype:
    """Stands in for `numpy.dtype`: only unsigned bytes are known."""

    def __init__(self, code: bytes | str, *_: object):
        if code not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of type {code!r}, not of bytes")

    def __setstate__(self, _: object) -> None:
        pass  # byte order and alignment, which bytes have not


class _Array:
    """Stands in for an array until its state has come."""

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
    ("numpy", "ndarray"): None,  # an argument of `_reconstruct`, which does not look at it
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ALLOWED[module, name]


def _finished(value: Any) -> Any:
    """`value`, with the arrays in a dictionary in the place of their stand-ins."""
    if isinstance(value, dict):
        return {key: each.value if isinstance(each, _Array) else each for key, each in value.items()}
    return value
