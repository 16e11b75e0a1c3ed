"""The request for a model's inputs. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .tensors import TensorSpec, from_json

SYNTHETIC = "synthetic"
# How the pixels of an image become numbers: (pixel / 255 - mean) / deviation, by channel.
NORMALIZATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0..1": ((0.0,) * 3, (1.0,) * 3),
    "-1..1": ((0.5,) * 3, (0.5,) * 3),
    "0..255": ((0.0,) * 3, (1 / 255,) * 3),
}


@dataclass(frozen=True)
class FeedRequest:
    """Where the inputs of a model come from.

    `inputs` are the model's inputs. `samples` is a path, or `SYNTHETIC`; None: images. `spec` has the fields of the
    `InputSpec` that makes images the input (None: it is no image), and `data` names the images (None: seeded noise).
    """

    inputs: tuple[TensorSpec, ...]
    spec: dict[str, Any] | None = None
    data: str | None = None
    samples: str | None = None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FeedRequest:
        """The inverse of `to_dict`; the fields may come from JSON."""
        return cls(**{**fields, "inputs": from_json(fields["inputs"])})

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON values."""
        return asdict(self)
