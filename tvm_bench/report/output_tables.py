"""Tables of the outputs beside those of the reference and of the source, for models without scores on labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..analysis.names import short_names
from ..analysis.results import Results, Row
from . import formatting
from .table import Table

# Cells of `quality_cells`, after those of memory and size.
QUALITY = (
    "mIoU, or\nmAP",
    "SQNR dB to\n{reference}",
    "largest\nrelative error",
    "same class as\n{reference}",
    "SQNR dB to\nits source",
    "relative error\nto source",
    "same class as\nits source",
)
OUTPUTS = ("variant", "output", *QUALITY[1:])
EQUAL = 300.0  # decibels that stand for equal outputs, see measure/comparison.py


def has_scores(results: Results) -> bool:
    """Whether accuracies are known, or outputs were not compared, as in older results."""
    return any(row.top1 is not None for row in results.variants) or not any(
        row.output_errors for row in results.variants
    )


def quality_cells(row: Row) -> list[str]:
    """The cells of `QUALITY`: of each figure, the worst of all outputs."""
    score = row.miou if row.map is None else row.map
    return [formatting.percent(score), *(cell for role in ("reference", "source") for cell in _cells(_of(row, role)))]


def tables(results: Results, header: tuple[str, ...]) -> list[Table]:
    """The table of each output, if a variant has several; `header` is that of `OUTPUTS`."""
    names = short_names(row.name for row in results.variants)
    lines = [
        [names[row.name], str(output["name"]), *_cells([output]), *_cells(_named(row, "source", output["name"]))]
        for row in results.variants
        if row.ok and len(_of(row, "reference")) > 1
        for output in _of(row, "reference")
    ]
    return [Table("Outputs", header, lines)] if lines and not has_scores(results) else []


def decibels(value: float | None) -> str:
    """`41.2`; `equal` for equal outputs."""
    if value is None:
        return formatting.NONE
    return "equal" if value >= EQUAL else f"{value:.1f}"


def _of(row: Row, role: str) -> list[dict[str, Any]]:
    return (row.output_errors or {}).get(role, [])


def _named(row: Row, role: str, name: str) -> list[dict[str, Any]]:
    return [output for output in _of(row, role) if output["name"] == name]


def _cells(outputs: list[dict[str, Any]]) -> list[str]:
    error = _worst(max, outputs, "max_relative_error")
    return [
        decibels(_worst(min, outputs, "sqnr_db")),
        formatting.NONE if error is None else f"{error:.1e}",
        formatting.percent(_worst(min, outputs, "argmax_agreement")),
    ]


def _worst(pick: Callable[..., float], outputs: list[dict[str, Any]], key: str) -> float | None:
    values = [output[key] for output in outputs if output[key] is not None]
    return pick(values) if values else None
