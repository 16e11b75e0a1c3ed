"""Named inputs and outputs of a model. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

# What a loaded model takes and returns: an array for each input or output, in the model's order.
Arrays: TypeAlias = "tuple[np.ndarray, ...]"


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model: its name, its shape with the batch size, and NumPy's name of its dtype.

    `batched`: the first size is the batch size. `high`: integers must be below it (None: unknown).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    batched: bool = True
    high: int | None = None

    def at(self, batch: int) -> TensorSpec:
        """The same tensor at another batch size."""
        return replace(self, shape=(batch, *self.shape[1:])) if self.batched else self

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch size."""
        return self.shape[1:] if self.batched else self.shape

    @property
    def text(self) -> str:
        """`images float32 (1, 3, 224, 224)`."""
        return f"{self.name} {self.dtype} {self.shape}"

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TensorSpec:
        """The inverse of `asdict`; the fields may come from JSON."""
        return cls(**{**fields, "shape": tuple(fields["shape"])})


def image_input(shape: Iterable[int], batch: int = 1) -> TensorSpec:
    """The input of an image model whose file names none: float32 (batch, channels, height, width)."""
    return TensorSpec("input", (batch, *shape))


def from_json(rows: Iterable[Mapping[str, Any]], batch: int | None = None) -> tuple[TensorSpec, ...]:
    """The specs of a list of dictionaries, at another `batch` size unless it is None."""
    specs = map(TensorSpec.from_dict, rows)
    return tuple(spec if batch is None else spec.at(batch) for spec in specs)


def to_json(specs: Iterable[TensorSpec]) -> list[dict[str, Any]]:
    """The specs as dictionaries."""
    return [{**asdict(spec), "shape": list(spec.shape)} for spec in specs]
