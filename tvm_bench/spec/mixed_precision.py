"""What INT8 costs and gains layer by layer: the results of `sensitivity` and `mixes`. Standard library only.

A mix is given by its nodes that are not INT8. They are computed in FP32, or in BF16 if their name stands after `BF16`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BF16 = "bf16:"


def names_of(excluded: Iterable[str]) -> list[str]:
    """The names of all nodes of a mix that are not INT8."""
    return [entry.removeprefix(BF16) for entry in excluded]


def in_bf16(excluded: Iterable[str]) -> list[str]:
    """The names of the nodes of a mix that are computed in BF16."""
    return [entry.removeprefix(BF16) for entry in excluded if entry.startswith(BF16)]


@dataclass(frozen=True)
class Cost:
    """What rounding costs at the outputs of the whole model.

    `noise` is the power of the error over that of the FP32 outputs, the mean of all outputs. `divergence` is the mean
    Kullback-Leibler divergence of a classifier's probabilities, in nats, and `changed` the share (0 to 1) of samples
    with another class; None: the model has no classes.
    """

    noise: float
    divergence: float | None = None
    changed: float | None = None

    @property
    def sqnr(self) -> float:
        """The signal-to-quantization-noise ratio in dB."""
        return decibels(self.noise)


@dataclass(frozen=True)
class Quantized:
    """A quantizer (see `exporters.quantizers`), and what it costs if nothing else rounds."""

    tensors: tuple[str, ...]
    writer: str | None
    readers: tuple[str, ...]
    weights: bool
    values: int
    cost: Cost

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes that compute with it."""
        return (*([self.writer] if self.writer else []), *self.readers)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Quantized:
        """The inverse of `asdict`; the fields may come from JSON."""
        parts = {name: tuple(fields[name]) for name in ("tensors", "readers")}
        return cls(**{**fields, **parts, "cost": Cost(**fields["cost"])})


@dataclass(frozen=True)
class Node:
    """A node of the ONNX file that can be quantized. `layer` says what it computes (None: no product)."""

    name: str
    operator: str
    layer: str | None


@dataclass(frozen=True)
class Outcome:
    """A mix that was run: its nodes that are not INT8, what it costs, and its score by the labels (None: no labels)."""

    excluded: tuple[str, ...]
    cost: Cost
    score: float | None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Outcome:
        """The inverse of `asdict`; the fields may come from JSON."""
        return cls(tuple(fields["excluded"]), Cost(**fields["cost"]), fields["score"])


def decibels(noise: float) -> float:
    """A ratio of powers in dB; infinite without noise."""
    return -10 * math.log10(noise) if noise > 0 else math.inf


def noise(decibels: float) -> float:
    """The inverse of `decibels`."""
    return 10 ** (-decibels / 10)
