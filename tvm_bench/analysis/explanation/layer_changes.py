"""Where the time goes between two libraries of one model, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHANNELS = re.compile(r"(\d+)->(\d+)")
BLOCK = 8  # channels: INT8 pads the three of an image to four, and other numbers to a multiple of this
# What kernels without a convolution or a product of matrices do, by a part of their names; the first that fits.
KINDS = {
    "layout_transform": "layout transforms",
    "pool": "pooling and averages",
    "mean": "pooling and averages",
    "softmax": "softmax",
    "concatenate": "concatenations",
    "": "sums, activations, quantization",
}


@dataclass(frozen=True)
class Profile:
    """A library that was run: the `kernels` of its manifest, their `times` and that of the whole model in ms."""

    kernels: Mapping[str, Mapping[str, Any]]
    times: Mapping[str, float]
    model_ms: float


@dataclass
class Side:
    """All kernels of a layer in one library: milliseconds of all calls together, and the names of the schedules."""

    calls: int = 0
    ms: float = 0.0
    schedules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LayerChange:
    """A layer, or layers of the same sizes, in two libraries; no calls in one that computes it in another way."""

    layer: str
    old: Side
    new: Side

    @property
    def ms(self) -> float:
        """The milliseconds that the new library takes longer; negative: it is faster."""
        return self.new.ms - self.old.ms


@dataclass(frozen=True)
class Comparison:
    """The layers, that with the largest change first, and the times of the whole models in ms."""

    layers: tuple[LayerChange, ...]
    old_ms: float
    new_ms: float

    @property
    def rest_ms(self) -> float:
        """The change that is in no kernel: the calls between them, and the noise of timing each kernel by itself."""
        return self.new_ms - self.old_ms - sum(layer.ms for layer in self.layers)


def compare(old: Profile, new: Profile) -> Comparison:
    """Match the kernels of two libraries by what they compute. Equal layers of a model are one line."""
    sides = [by_layer(profile) for profile in (old, new)]
    names = {match: name for side in reversed(sides) for match, (name, _) in side.items()}
    changes = [
        LayerChange(name, *(side.get(match, (name, Side()))[1] for side in sides)) for match, name in names.items()
    ]
    return Comparison(tuple(sorted(changes, key=lambda change: -abs(change.ms))), old.model_ms, new.model_ms)


def by_layer(profile: Profile) -> dict[str, tuple[str, Side]]:
    """For each `key`, by which libraries are matched: the name of the layer, and its kernels."""
    found: dict[str, tuple[str, Side]] = {}
    for kernel, ms in profile.times.items():
        about = profile.kernels.get(kernel, {})
        name = about.get("layer") or next(kind for part, kind in KINDS.items() if part in kernel)
        _, side = found.setdefault(key(name), (name, Side()))
        side.calls += about.get("calls", 1)
        side.ms += ms
        if (schedule := about.get("schedule")) and schedule not in side.schedules:
            side.schedules.append(schedule)
    return found


def key(layer: str) -> str:
    """The layer with its channels rounded up: a library may pad them."""
    return CHANNELS.sub(_in_blocks, layer)


def _in_blocks(channels: re.Match[str]) -> str:
    return "->".join(str(-(-int(count) // BLOCK) * BLOCK) for count in channels.groups())
