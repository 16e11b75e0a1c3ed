"""A layer, and a source model: what the comparison knows of them, in any file format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..spec.tensors import TensorSpec

Values = dict[str, np.ndarray]
Run = Callable[[Values], list[np.ndarray]]  # from named inputs to all outputs


@dataclass(frozen=True)
class Quantization:
    """The scale and the zero point of a tensor of `dtype`, uint8 or int8: numbers, or arrays along `axis`."""

    scale: np.ndarray
    zero: np.ndarray
    axis: int = 1
    dtype: str = "uint8"

    def steps(self, values: np.ndarray) -> np.ndarray:
        """Integers as they are, and float `values` in steps: PyTorch's quantized tensors are compared as floats."""
        if np.issubdtype(values.dtype, np.integer):
            return values
        scale, zero = self.along(values.ndim)
        return np.rint(values / scale) + zero

    def along(self, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
        """Scale and zero point in float64, to be broadcast over a tensor of this number of `dimensions`."""
        shape = [1] * dimensions
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        return self.scale.astype(np.float64).reshape(shape), self.zero.astype(np.float64).reshape(shape)


@dataclass(frozen=True)
class Layer:
    """A part of a graph with one output.

    `name` is that of its main operator and `operators` are the types of all; `inputs` are outputs of other layers, or
    inputs of the model. `real` is the tensor that the last operator quantizes (None: the output is not quantized, or
    the tensor cannot be read).
    """

    name: str
    operators: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    real: str | None = None
    quantization: Quantization | None = None


class Source(Protocol):
    """A source model: it runs itself, and writes files of its parts for Relay to import."""

    suffix: str

    @property
    def layers(self) -> list[Layer]:
        """Its layers in execution order."""

    @property
    def inputs(self) -> list[str]:
        """The names of its inputs."""

    def record(self, inputs: Values, names: Iterable[str] | None = None) -> Values:
        """The values of the tensors `names` (None: of all outputs of layers), and the inputs."""

    def write_part(self, path: Path, outputs: list[str], cuts: set[str], values: Values) -> dict[str, str]:
        """Write the part that computes the tensors `outputs` from `cuts` and the model's inputs.

        A tensor may be both: then it is an output, and those who read it read an input instead. Returns the tensor for
        each input of the file, in their order.
        """

    def exact(self, layer: Layer, values: Values) -> np.ndarray | None:
        """What the layer computes by exact sums from recorded `values`; None where the source's own sums are exact."""

    def run(self, inputs: list[Values]) -> list[np.ndarray]:
        """The first output of the model for each of the `inputs`."""

    def run_otherwise(self, inputs: list[Values]) -> list[np.ndarray]:
        """The same, when the source's runtime rounds in another legitimate order."""


class Compiler(Protocol):
    """The compiler under test: Relay's (builds.py) or Relax's (relax_builds.py)."""

    def lowered(self, source: Path, inputs: Sequence[TensorSpec]) -> Any:
        """The module of a model file after import and lowering, as a build makes it."""

    def unfused(self, module: Any) -> Run:
        """The module in which each operator is a kernel by TVM's own schedules."""

    def library(self, module: Any) -> Run:
        """The module as the project builds it."""
