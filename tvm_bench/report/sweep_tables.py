"""A sweep over batch sizes or numbers of threads: what a picture costs, and how many go through in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..analysis.results import Results, Row
from ..analysis.sweeps import Sweep, per_picture_ms, sweeps
from . import formatting
from .table import Table

HEADERS = {"batch": "pictures a call", "threads": "threads"}


def tables(results: Results) -> list[Table]:
    """Two tables a sweep, latency and throughput."""
    return [table for sweep in sweeps(results) for table in _tables(sweep)]


def _tables(sweep: Sweep) -> Iterator[Table]:
    head = HEADERS[sweep.over]
    yield _table(sweep, f"Milliseconds a picture, by {head}", lambda row: formatting.ms(per_picture_ms(row)))
    yield _table(sweep, f"Pictures a second, by {head}", lambda row: f"{1e3 / per_picture_ms(row):.4g}")


def _table(sweep: Sweep, title: str, cell: Callable[[Row], str]) -> Table:
    lines = [
        [name, *(cell(rows[value]) if value in rows else formatting.NONE for value in sweep.values)]
        for name, rows in sweep.rows.items()
    ]
    return Table(title, ("variant", *map(str, sweep.values)), lines)
