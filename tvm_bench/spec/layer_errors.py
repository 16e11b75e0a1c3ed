"""The errors of a layer, and the faults that cause them: the results of the verb `diff`. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# FP32 sums in another order, or by Winograd's algorithm. Measured: up to 4e-6 of the range.
RANGE_LIMIT = 1e-4
STEP_LIMIT = 1.0
# Share of the values of a quantized tensor that may be one step off, because float sums near .5 were added in another
# order. Measured: up to 0.06 %. A rounding of another kind differs for a fifth of the values and more.
SHARE_LIMIT = 0.02


@dataclass(frozen=True)
class Errors:
    """The errors of one tensor.

    `largest` is in steps of the scale (`unit` is "steps") or relative to the range of the source's values ("range").
    `share` is that of the values that are off: by a step, or by more than `RANGE_LIMIT` of the range. `sqnr` is the
    signal-to-noise ratio in dB (infinite without errors).
    """

    unit: str
    sqnr: float
    largest: float
    share: float

    @property
    def wrong(self) -> bool:
        """Whether the tensor is off by more than its source may be, if it adds in another order."""
        if self.unit == "steps":
            return not self.largest <= STEP_LIMIT or self.share > SHARE_LIMIT
        return not self.largest <= RANGE_LIMIT  # not `>`: NaN is wrong too


# Of a layer without values.
INFINITE = Errors("range", -math.inf, math.inf, 1.0)


@dataclass(frozen=True)
class Failure:
    """Why a layer does not compile: the `stage` that raised an error, and its `reason`."""

    stage: str
    reason: str


@dataclass(frozen=True)
class LayerErrors:
    """The errors of one layer on the inputs that the source computed.

    `relay` is Relay after import and lowering, before fusion, against the source; `kernel` is the library against
    Relay, `library` the library against the source. `accumulated` are the errors of the whole model at this place
    (None: not run). A layer with a `failure` does not compile, and its errors are infinite. `source_inexact`: the
    library gives the exact values, and the source's own kernel does not.
    """

    name: str
    operators: tuple[str, ...]
    relay: Errors
    kernel: Errors
    library: Errors
    accumulated: Errors | None = None
    failure: Failure | None = None
    source_inexact: bool = False

    @property
    def wrong(self) -> bool:
        """Whether the compiled layer is off by more than the source may be."""
        return not self.source_inexact and (self.relay.wrong or self.library.wrong)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> LayerErrors:
        """The inverse of `asdict`; the fields may come from JSON."""
        names = ("relay", "kernel", "library", "accumulated")
        errors = {name: Errors(**fields[name]) if fields[name] else None for name in names}
        failure = Failure(**fields["failure"]) if fields.get("failure") else None
        return cls(**{**fields, **errors, "operators": tuple(fields["operators"]), "failure": failure})


@dataclass(frozen=True)
class ExportErrors:
    """The errors of one layer of an exported ONNX file against PyTorch, on the inputs that PyTorch computed."""

    name: str
    operators: tuple[str, ...]
    errors: Errors

    @property
    def wrong(self) -> bool:
        """Whether the layer is off by more than its source may be."""
        return self.errors.wrong

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ExportErrors:
        """The inverse of `asdict`; the fields may come from JSON."""
        return cls(fields["name"], tuple(fields["operators"]), Errors(**fields["errors"]))


@dataclass(frozen=True)
class Fault:
    """A wrong layer. `stage` is the step that makes it wrong, `kind` and `evidence` say how it is wrong.

    `alone`: the layer is wrong without its neighbours too. `files` are a model file of it, and its inputs.
    """

    layer: str
    operators: tuple[str, ...]
    stage: str
    kind: str
    evidence: str
    alone: bool
    files: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Fault:
        """The inverse of `asdict`; the fields may come from JSON."""
        return cls(**{**fields, "operators": tuple(fields["operators"]), "files": tuple(fields["files"])})
