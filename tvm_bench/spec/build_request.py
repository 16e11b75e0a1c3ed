"""The request of the verb `build`. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .tensors import TensorSpec, from_json


@dataclass(frozen=True)
class About:
    """Facts about the model for the manifest.

    `model` is the model spec and `spec` the `InputSpec` (None: the input is no image), as dictionaries; `fingerprint`
    is a hash of the weights.
    `quantization` has the settings and the calibration data of an INT8 model.
    """

    name: str
    model: dict[str, Any]
    fingerprint: str
    precision: str
    frontend: str | None
    spec: dict[str, Any] | None
    classes: list[str]
    quantization: dict[str, Any] | None


@dataclass(frozen=True)
class BuildRequest:
    """Build `out/lib.so` from the model file `source`, with these `inputs`; `outputs` names its outputs.

    `target_text` is a TVM target (None: this CPU). `records` is the folder of each tuner's records, and
    `reference` the folder of the library with default schedules, with which the tuned builds are compared. `stock` uses
    only TVM's own schedules.
    """

    source: str
    out: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    threads: int
    target_text: str | None
    records: dict[str, str] | None
    reference: str | None
    stock: bool
    about: About

    @classmethod
    def from_dict(cls, request: dict[str, Any]) -> BuildRequest:
        """The inverse of `to_dict`."""
        return cls(**{**request, "inputs": from_json(request["inputs"]), "about": About(**request["about"])})

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON values."""
        return asdict(self)
