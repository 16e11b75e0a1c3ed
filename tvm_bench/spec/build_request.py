"""The request of the verb `build`. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class About:
    """What the manifest repeats of the model: `model` as it was asked for, the `fingerprint` of its weights, ...

    `spec` is the `InputSpec` as a dictionary; `quantization` says how and on what an INT8 model was quantized.
    """

    name: str
    model: dict[str, Any]
    fingerprint: str
    precision: str
    frontend: str | None
    spec: dict[str, Any]
    classes: list[str]
    quantization: dict[str, Any] | None


@dataclass(frozen=True)
class BuildRequest:
    """Build `out/lib.so` from the model file `source`, for inputs of `shape` (batch, channels, height, width).

    `target_text` is TVM's text for a CPU (None: this one). `records` is the folder of each tuner's records, and
    `reference` the folder of the library with default schedules that they compete with. `stock` keeps to TVM's own
    schedules.
    """

    source: str
    out: str
    shape: list[int]
    threads: int
    target_text: str | None
    records: dict[str, str] | None
    reference: str | None
    stock: bool
    about: About

    @classmethod
    def from_dict(cls, request: dict[str, Any]) -> BuildRequest:
        """The inverse of `to_dict`."""
        return cls(**{**request, "about": About(**request["about"])})

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
