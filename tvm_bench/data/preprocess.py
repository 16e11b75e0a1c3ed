"""From an image to a model's input. Pillow and NumPy only, so that every backend gets the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.feed import NORMALIZATIONS
from ..spec.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN, IMAGENET_STD = NORMALIZATIONS["imagenet"]


@dataclass(frozen=True)
class InputSpec:
    """The input of a model: `shape` is (channels, height, width), `resize` the shorter side before the centre crop."""

    shape: tuple[int, int, int] = (3, 224, 224)
    resize: int = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    grey: bool = False  # trained on grey images: colours are dropped, the one channel is repeated

    def at(self, size: int) -> InputSpec:
        """The same input at `size` x `size` pixels; `resize` is scaled in proportion."""
        scaled = round(self.resize * size / self.shape[1])
        return InputSpec((self.shape[0], size, size), scaled, self.mean, self.std, self.grey)

    @property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
        """How pixel values are scaled, whatever the size of the image."""
        return self.mean, self.std, self.grey

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> InputSpec:
        """A spec from its fields as JSON has them: lists for tuples."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**values)


def image_spec(inputs: Sequence[TensorSpec]) -> InputSpec | None:
    """The spec of a model with one image input, float32 (batch, 1 or 3, height, width); None for any other model.

    The normalization is ImageNet's, because a file does not state its own.
    """
    if (
        len(inputs) != 1
        or inputs[0].dtype != "float32"
        or len(inputs[0].shape) != 4
        or inputs[0].shape[1] not in (1, 3)
    ):
        return None
    channels, height, width = inputs[0].shape[1:]
    return InputSpec((channels, height, width), round(min(height, width) * 256 / 224))


def fit(image: Image, spec: InputSpec) -> Image:
    """Resize the shorter side to `spec.resize` (bilinear), then crop the centre: the usual ImageNet evaluation."""
    from PIL import Image as pil

    size, crop = placement(image.size, spec)
    return colour(image, spec).resize(size, pil.Resampling.BILINEAR).crop(crop)


def placement(size: tuple[int, int], spec: InputSpec) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """What `fit` does to an image of `size` (width, height): its resized size, and the crop (left, top, right, bottom)
    in the resized image. Labels of pixels and boxes go the same way."""
    _, height, width = spec.shape
    scale = spec.resize / min(size)
    resized = (max(width, round(size[0] * scale)), max(height, round(size[1] * scale)))
    left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
    return resized, (left, top, left + width, top + height)


def colour(image: Image, spec: InputSpec) -> Image:
    """One channel if the model takes one or was trained on grey images, else RGB."""
    return image.convert("L" if spec.grey or spec.shape[0] == 1 else "RGB")


def normalize(image: Image, spec: InputSpec) -> np.ndarray:
    """Image of the right size -> float32 (channels, height, width): (value in 0..1 - mean) / std."""
    pixels = np.atleast_3d(np.asarray(image))
    levels = np.arange(256, dtype=np.float32) / 255
    # A table of 256 values per channel is five times as fast as arithmetic on every pixel.
    planes = [
        ((levels - spec.mean[c]) / spec.std[c])[pixels[..., min(c, pixels.shape[2] - 1)]] for c in range(spec.shape[0])
    ]
    return np.stack(planes).astype(np.float32, copy=False)


def network_input(image: Image, spec: InputSpec) -> np.ndarray:
    """Any image -> float32 (channels, height, width)."""
    return normalize(fit(image, spec), spec)
