"""The check of each INT8 library against its source model: layer by layer, and as a whole."""

from __future__ import annotations

from ..analysis.names import short_names
from ..analysis.results import Results, Row
from .table import Table

HEADER = ("variant", "layers", "wrong\nlayers", "distance from\nits source", "source from itself,\nrounded otherwise")


def tables(results: Results) -> list[Table]:
    """One row per INT8 library whose layers were compared; distances are medians over the images."""
    names = short_names(row.name for row in results.variants)
    lines = [[names[row.name], *_cells(row)] for row in results.variants if row.ok and row.layers]
    return [Table("INT8 libraries against their source", HEADER, lines)] if lines else []


def _cells(row: Row) -> list[str]:
    assert row.layers, "only compared rows are shown"
    distances = row.distances or {}
    medians = [f"{distances[name]['median']:.2g}" if name in distances else "" for name in ("source", "itself")]
    return [str(row.layers["count"]), str(row.layers["wrong"]), *medians]
