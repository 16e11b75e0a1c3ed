"""Tables of a sweep over batch sizes or thread counts: time per image, and images per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..analysis.results import Results, Row
from ..analysis.sweeps import Sweep, per_image_ms, sweeps
from . import formatting
from .table import Table

HEADERS = {"batch": "batch size", "threads": "thread count"}


def tables(results: Results) -> list[Table]:
    """Two tables for each sweep: time per image, and images per second."""
    return [table for sweep in sweeps(results) for table in _tables(sweep)]


def _tables(sweep: Sweep) -> Iterator[Table]:
    head = HEADERS[sweep.over]
    yield _table(sweep, f"Milliseconds per image, by {head}", lambda row: formatting.ms(per_image_ms(row)))
    yield _table(sweep, f"Images per second, by {head}", lambda row: f"{1e3 / per_image_ms(row):.4g}")


def _table(sweep: Sweep, title: str, cell: Callable[[Row], str]) -> Table:
    lines = [
        [name, *(cell(rows[value]) if value in rows else formatting.NONE for value in sweep.values)]
        for name, rows in sweep.rows.items()
    ]
    return Table(title, ("variant", *map(str, sweep.values)), lines)
