"""The operations per second of each variant, and their share of what the CPU can do."""

from __future__ import annotations

from ..analysis import peaks
from ..analysis.names import short_names
from ..analysis.results import Results, Row
from . import formatting
from .table import Table

HEADER = ("variant", "GOP/s", "peak\nGOP/s", "share of\nthe peak")


def tables(results: Results) -> list[Table]:
    """One row per timed variant; empty if the operations of the model are not known."""
    names = short_names(row.name for row in results.variants)
    lines = [
        [names[row.name], *_cells(speed, row, results)]
        for row in results.variants
        if (speed := peaks.speed(row, results))
    ]
    return [Table("Operations per second", HEADER, lines)] if lines else []


def _cells(speed: float, row: Row, results: Results) -> list[str]:
    peak = peaks.peak(row, results)
    if not peak:
        return [f"{speed:,.0f}", formatting.NONE, formatting.NONE]
    return [f"{speed:,.0f}", f"{peak:,.0f}", formatting.percent(speed / peak)]
