"""`compress`, `diff` and `sensitivity`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..analysis.mixed_precision import Sensitivity
from ..pipeline import compression
from ..pipeline import diff as differences
from ..pipeline import sensitivity as sensitivities
from ..spec.compression_result import CompressionResult
from ..spec.recipe import Settings
from .options import Names, Options, spec_of

if TYPE_CHECKING:
    from torch import nn


def compress(
    model: str, *, images: int | None = None, settings: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> CompressionResult:
    """Compress a model by its option `recipe`, such as "prune-structured50+int8", and compare it with the original.

    `images` are those that it is scored on (None: all), `settings` the fields of `Settings`, such as
    {"epochs": 0.5, "teacher": "resnet50"}. The other options are those of `Options`. `bench` with the same recipe races
    the result. Raises `UserError` for bad input.
    """
    spec = spec_of(model, None, options, Settings(**(settings or {})), default_precisions=("fp32",))
    return compression.compress(spec, images)[0]


def diff(
    model: str | Path | nn.Module,
    *,
    precision: Names = ("fp32", "int8"),
    images: int = 2,
    backend: str = differences.RELAY,
    **options: Unpack[Options],
) -> list[differences.Diff]:
    """Compare each library of a `backend`, "relay" or "relax", with its source model, and find the wrong layers.

    Each `Diff` has the `layers` and the `faults` of one variant. Raises `UserError` for bad input.
    """
    return differences.diff(spec_of(model, precision, options), images, backend)


def sensitivity(
    model: str | Path | nn.Module = "resnet18",
    *,
    images: int = sensitivities.IMAGES,
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    cures: bool = False,
    **options: Unpack[Options],
) -> Sensitivity:
    """Measure what INT8 costs and gains in each layer, and find the fastest mix of precisions.

    The costs are measured on `images` calibration samples. The mix keeps `min_sqnr` dB of the outputs, or loses at most
    `max_drop` points of Top-1 or mean IoU (default with labels: 0.3 points, without: 35 dB). It is the `choice`; None:
    no mix keeps to the limit. `bench` with the recipe `choice.recipe_text` races it. With `cures`, all layers are
    quantized in other ways too. Raises `UserError` for bad input.
    """
    spec = spec_of(model, None, options)
    limits = {"min_sqnr": min_sqnr, "max_drop": max_drop}
    return sensitivities.sensitivity(spec, images=images, cures=cures, **limits)[0]
