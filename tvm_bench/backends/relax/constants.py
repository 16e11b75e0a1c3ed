"""The constants of a module, with those that the importer computes of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tvm
from tvm import relax

OF_CONSTANTS: dict[str, Callable] = {"relax.isnan": np.isnan, "relax.where": np.where}


class Constants:
    """Weights, biases, and the bounds of a clip: what is known of the variables whose bindings were added."""

    def __init__(self) -> None:
        self.known: dict[relax.Var, np.ndarray] = {}

    def add(self, variable: relax.Var, call: relax.Call) -> None:
        """Keep the result of a call if it is computed of constants."""
        if (result := self._computed(call)) is not None:
            self.known[variable] = result

    def array(self, value: relax.Expr) -> np.ndarray | None:
        """The values of a constant; None for what is computed while the model runs."""
        return value.value.numpy() if isinstance(value, tvm.ir.GenericConst) else self.known.get(value)

    def arrays(self, *values: relax.Expr) -> list[np.ndarray] | None:
        """`array` of each; None if one of them is no constant."""
        arrays = [array for array in map(self.array, values) if array is not None]
        return arrays if len(arrays) == len(values) else None

    def _computed(self, call: relax.Call) -> np.ndarray | None:
        name = name_of(call)
        if name == "relax.reshape" and (values := self.array(call.args[0])) is not None:
            return values.reshape([int(size) for size in call.ty.shape])
        if name != "relax.dequantize" and name not in OF_CONSTANTS:
            return None
        if (arrays := self.arrays(*call.args)) is None:
            return None
        if name == "relax.dequantize":
            values, scale, zero = arrays
            shape = [1] * values.ndim
            if values.ndim:
                shape[int(call.attrs.axis)] = -1
            return (values.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)
        return OF_CONSTANTS[name](*arrays)


def name_of(expression: relax.Expr) -> str:
    """The name of the operator of a call; empty for anything else."""
    return getattr(getattr(expression, "op", None), "name", "")
